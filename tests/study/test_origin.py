"""Whose settings a run has: a method's defaults, a benchmark's recommendation, a study file's, the command line's."""

import json
import shutil

import pytest

from salmu_core import MethodConfig, MethodSpec, Recommended, TrainingConfig
from salmu_core.errors import UsageError
from salmu_core.plugins.zoo import discover
from salmu_core.store.folders import RunKey
from salmu_core.study.asked import Study, read_study
from salmu_core.study.origin import Origin, notes
from salmu_core.study.parsing import parse_settings
from salmu_core.study.plan import config_hash, make_plan
from salmu_core.testing.conformance import examine

ZOO = discover()
ADVICE = {"cliperase": Recommended(config={"lr": 3e-7, "warmup": 0.3}, budget=10, source="Our search.")}
DEFAULT = ZOO.methods["cliperase"].spec.config()


def plan(study=None, overrides=None, recommended=ADVICE, benchmark="vast"):
    return make_plan(study or Study(methods=("cliperase",)), benchmark, ZOO, overrides or {}, recommended=recommended)


def study_file(tmp_path, text):
    path = tmp_path / "study.toml"
    path.write_text(f'methods = ["cliperase"]\n{text}')
    return read_study(path)


@pytest.mark.parametrize(
    ("file", "overrides", "recommended", "lr", "warmup", "weight_decay", "budget", "taken"),
    [
        # Four layers, each over the one before: default, recommended, study file, --set.
        ("", {}, {}, DEFAULT.lr, DEFAULT.warmup, 0, 5, None),
        ("", {}, ADVICE, 3e-7, 0.3, 0, 10, ({"lr": 3e-7, "warmup": 0.3}, 10)),
        ("[config.cliperase]\nlr = 2e-5", {}, ADVICE, 2e-5, 0.3, 0, 10, ({"warmup": 0.3}, 10)),
        ("budgets = [5]", {}, ADVICE, 3e-7, 0.3, 0, 5, ({"lr": 3e-7, "warmup": 0.3}, None)),
        ("[config.cliperase]\nlr = 2e-5", {"lr": 4e-5}, ADVICE, 4e-5, 0.3, 0, 10, ({"warmup": 0.3}, 10)),
        ("", {"lr": 4e-5, "weight_decay": 0.1}, ADVICE, 4e-5, 0.3, 0.1, 10, ({"warmup": 0.3}, 10)),
        ("budgets = [5]", {"lr": 1e-3, "warmup": 0.1}, ADVICE, 1e-3, 0.1, 0, 5, None),
        ("", {}, {"delete": ADVICE["cliperase"]}, DEFAULT.lr, DEFAULT.warmup, 0, 5, None),
    ],
)
def test_who_has_the_last_word(tmp_path, file, overrides, recommended, lr, warmup, weight_decay, budget, taken):
    (run,) = plan(study_file(tmp_path, file), {"cliperase": overrides} if overrides else {}, recommended)
    assert (run.config.lr, run.config.warmup, run.config.weight_decay, run.key.budget) == (
        *(lr, warmup, weight_decay),
        budget,
    )
    found = run.origin.taken
    assert (found and (dict(found.config), found.budget)) == taken and (found is None or found.source == "Our search.")


def test_what_a_run_is_called_follows_from_its_settings_alone():
    (recommended,) = plan()
    (typed,) = plan(Study(methods=("cliperase",), budgets=(10,)), {"cliperase": {"lr": 3e-7, "warmup": 0.3}}, {})
    assert recommended.key == typed.key and recommended.origin != typed.origin
    values = DEFAULT.model_copy(update={"lr": 3e-7, "warmup": 0.3})
    assert recommended.key == RunKey("vast", "cliperase", config_hash(values), 10, 0)


def test_each_benchmark_has_its_own():
    other = {"cliperase": Recommended(config={"lr": 5e-6}, source="Theirs.")}
    study = Study(methods=("cliperase", "delete"))
    found = [
        (p.key.benchmark, p.key.method, p.config.lr, p.key.budget) for p in plan(study) + plan(study, {}, other, "b")
    ]
    own = ZOO.methods["delete"].spec.config().lr
    assert found == [
        *(("vast", "cliperase", 3e-7, 10), ("vast", "delete", own, 5)),
        *(("b", "cliperase", 5e-6, 5), ("b", "delete", own, 5)),
    ]


@pytest.mark.parametrize("overrides", [{}, {"lr": DEFAULT.lr}, {"lr": 0.25, "batch_size": 8}])
def test_the_command_makes_the_run_again_whatever_is_recommended_then(overrides):
    (run,) = plan(overrides={"cliperase": overrides} if overrides else {})
    words = run.command.split()
    settings = parse_settings([words[i + 1] for i, word in enumerate(words) if word == "--set"])
    budget = float(words[words.index("--budget") + 1])
    for recommended in (ADVICE, {}):
        (again,) = plan(Study(methods=("cliperase",), budgets=(budget,)), settings, recommended)
        assert again.key == run.key and again.config == run.config


@pytest.mark.parametrize(("config", "words"), [({"lrr": 1}, "'lrr'.*Did you mean 'lr'"), ({"lr": -1}, "lr = -1")])
def test_what_a_method_refuses_names_benchmark_method_and_field(config, words):
    with pytest.raises(UsageError, match=rf"vast recommends for cliperase.*{words}"):
        plan(recommended={"cliperase": Recommended(config=config, source="A slip.")})
    # Nobody who runs something else hears of it, nor of a method that is not installed.
    odd = {"cliperase": Recommended(config=config, source="A slip."), "nothing-like-it": ADVICE["cliperase"]}
    assert len(plan(Study(methods=("delete",)), recommended=odd)) == 1


@pytest.mark.parametrize("fields", [{"source": ""}, {"source": "x", "budget": 0}, {"source": "x", "link": "here"}, {}])
def test_a_recommendation_says_where_it_is_from(fields):
    with pytest.raises(ValueError, match=r"source|budget|link"):
        Recommended(**fields)


# What is said before a study starts


def spec(name, chosen_on=None, config=TrainingConfig):
    given = {"loss": lambda ctx, step: None} if issubclass(config, TrainingConfig) else {"unlearn": lambda ctx: None}
    facts = {"summary": "A test.", "paper": "https://example.org", "chosen_on": chosen_on, "config": config}
    return MethodSpec(name=name, **given, **facts)


class Strength(MethodConfig):
    strength: float = 1.0


def origin(method, given=(), recommended=None, benchmark="vast"):
    return Origin(benchmark, method, recommended, frozenset(given))


def test_one_sentence_names_all_whose_settings_nobody_chose():
    found = [origin(spec(name, on)) for name, on in (("c", "mini"), ("a", "mini"), ("b", None), ("a", "mini"))]
    (said,) = notes([*found, origin(spec("d", "vast"))])
    whose = "a, c (chosen on mini) and b (which does not say on what its defaults were chosen)"
    assert said.startswith(f"Nobody chose settings of {whose} for vast") and said.count("--set") == 1


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (origin(spec("a", "mini")), True),
        (origin(spec("a", "mini"), benchmark="mini"), False),
        (origin(spec("a", "mini"), given={"lr"}), False),
        (origin(spec("a", "mini"), given={"batch_size"}), True),
        (origin(spec("a", "mini"), recommended=Recommended(source="Its defaults fit.")), False),
        (origin(spec("a")), True),
        (origin(spec("a"), benchmark="mini"), True),
        (origin(spec("a", "mini", Strength)), True),
        (origin(spec("a", "mini", Strength), given={"strength"}), False),
        (origin(spec("a", "mini", MethodConfig)), False),
    ],
)
def test_whom_it_names(one, told):
    assert len(list(notes([one]))) == told


def test_nobody_is_told_of_one_run_among_many_but_once():
    study = Study(methods=("cliperase", "delete", "vlunlearn"), seeds=(0, 1, 2), config={"delete": [{}, {"lr": 1e-5}]})
    told = list(notes(p.origin for p in plan(study, recommended={**ADVICE, "delete": ADVICE["cliperase"]})))
    assert len(told) == 3 and "vlunlearn (chosen on mini)" in told[2]
    assert "cliperase, delete: lr = 3e-07, warmup = 0.3, budget 10 (Our search.)" in told[0]
    assert "for delete: warmup = 0.3, budget 10" in told[1]


def test_worlds_of_the_benchmark_they_were_chosen_on_are_it():
    there = tuple(name for name, row in ZOO.methods.items() if row.card.chosen_on == "mini")
    assert there and not list(notes(p.origin for p in plan(Study(methods=there), recommended={}, benchmark="mini@3")))


# Through the command


LR = "finetuning.lr=1e-4"
SMALL = ("--set", "finetuning.batch_size=8", "--budget", "1")


@pytest.fixture
def folder(tiny, tmp_path):
    """A folder of the user's, whose benchmark.toml brings settings."""
    copy = shutil.copytree(tiny, tmp_path / "ward")
    (copy / "benchmark.toml").write_text('name = "ward"\n[settings.finetuning]\nlr = 2e-4\n')
    return copy


def records(root):
    return [json.loads(path.read_text()) for path in sorted(root.glob("**/run.json"))]


def test_a_folder_brings_its_own_and_the_record_says_so(salmu, folder):
    command = ("run", "finetuning", "--benchmark", folder, *SMALL)
    done = salmu(*command, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["runs"]
    assert "ward recommends for finetuning: lr = 0.0002 (its benchmark.toml)" in done.stderr
    assert "Nobody chose settings" not in done.stderr
    (record,) = records(salmu.folder / "runs")
    assert record["config"]["lr"] == 2e-4 and record["recommended"]["config"] == {"lr": 2e-4}
    assert record["recommended"]["budget"] is None and "--set finetuning.lr=0.0002" in record["command"]
    again = salmu(*command)
    assert "Nothing to do" in again.stdout and "recommends" not in again.stdout
    typed = salmu(*command, "--set", "finetuning.lr=2e-4")  # another way to the same run
    assert "Nothing to do" in typed.stdout


def test_a_folder_that_brings_none_is_told_of_once_and_only_by_who_sets_no_rate(salmu, tiny):
    command = ("run", "finetuning", "negative-gradient", "--set", "negative-gradient.batch_size=8", *SMALL)
    done = salmu(*command, "--benchmark", tiny, "--processes", "2")
    assert done.returncode == 0 and done.stdout.count("Nobody chose settings") == 1
    assert "finetuning, negative-gradient (chosen on mini)" in done.stdout
    (first, second) = records(salmu.folder / "runs")
    assert first["recommended"] is second["recommended"] is None
    rates = ("--set", LR, "--set", "negative-gradient.lr=1e-5")
    quiet = salmu(*command, *rates, "--benchmark", tiny, "--output", "other")
    assert quiet.returncode == 0 and "Nobody chose settings" not in quiet.stdout + quiet.stderr


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[settings.finetuning]\nlrr = 1", ("finetuning", "'lrr'", "'lr'")),
        ("[settings.finetuning]\nlr = -1", ("finetuning", "lr = -1")),
        ("[settings]\nfinetuning = 3", ("benchmark.toml", "settings.finetuning")),
        ("[settings.Fine]\nlr = 1", ("benchmark.toml", "settings.Fine")),
    ],
)
def test_a_folders_slips_are_named_before_anything_is_made(salmu, folder, toml, words):
    (folder / "benchmark.toml").write_text(f'name = "ward"\n{toml}\n')
    done = salmu("run", "finetuning", "--benchmark", folder)
    assert done.returncode in (1, 2) and not (salmu.folder / "runs").exists()
    assert all(word in done.stderr for word in words), done.stderr


BENCHMARK = """
from salmu_core import BenchmarkSpec, Recommended, hookimpl

ADVICE = Recommended(config={{"{field}": 1e-6}}, source="Our search.", link="https://example.org/log")

@hookimpl
def salmu_benchmarks():
    return [
        BenchmarkSpec(
            name="vast", version="1", summary="A test.", build=lambda *_: None,
            settings={{"finetuning": ADVICE, "absent": ADVICE}},
        )
    ]
"""


def test_listings_show_it(salmu, install):
    install("vast", BENCHMARK.format(field="lr"))
    for _ in range(2):  # as it is imported, and as it is remembered
        data = json.loads(salmu("benchmarks", "vast", "--json").stdout)["settings"]
        assert data["finetuning"] == data["absent"] and data["absent"]["config"] == {"lr": 1e-6}
        found = json.loads(salmu("methods", "finetuning", "--json").stdout)
        assert found["chosen_on"] == "mini" and found["recommended"]["vast"] == data["absent"]
    assert "finetuning, absent: lr = 1e-06 (Our search." in salmu("benchmarks", "vast").stdout


@pytest.mark.parametrize(("field", "verdict"), [("lr", "passed"), ("lrr", "failed")])
def test_a_rule_of_conformance_holds_it_against_the_methods(isolated_plugins, field, verdict):
    isolated_plugins.install("vast", BENCHMARK.format(field=field))
    isolated_plugins.show("salmu-finetuning")
    report = examine("benchmark", "vast")
    assert [finding.rule for finding in report.findings] == ["loads", "named", "api-range", "settings"]
    assert report["settings"].verdict == verdict and report.sound == (verdict == "passed")
    assert report.sound or all(word in report["settings"].sentence for word in ("vast", "finetuning", "'lrr'"))
