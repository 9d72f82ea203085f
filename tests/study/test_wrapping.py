"""Methods that stand on another method's loss: what is planned, what is said, what the record keeps."""

import json
import shlex
from collections import Counter

import numpy as np
import pytest

from salmu_core import MethodSpec, Recommended, TrainingConfig, WrapperConfig
from salmu_core.errors import MethodError, UnknownNameError, UsageError
from salmu_core.losses import total
from salmu_core.plugins.zoo import discover
from salmu_core.run.closures import carried
from salmu_core.study.asked import Study
from salmu_core.study.parsing import parse_settings
from salmu_core.study.plan import config_hash, make_plan
from salmu_core.study.todo import older_note
from salmu_core.testing import examine, fixed_step, random_pairs, run_method

ZOO = discover()
FACTS = {"summary": "A test.", "paper": "https://example.org/over"}
PULL = """
from salmu_core import MethodSpec, TrainingConfig, hookimpl
from pydantic import Field

class Config(TrainingConfig):
    strength: float = Field(default=1.0, description="Of the pull.")

def loss(ctx, step):
    assert isinstance(ctx.config, Config), ctx.config
    return {"pull": ctx.config.strength * ctx.features(step.forget).pair_similarity.mean()}

@hookimpl
def salmu_methods():
    return [MethodSpec(name="pull", summary="A test.", paper="https://example.org/pull", config=Config, loss=loss)]
"""
OVER = """
from salmu_core import MethodSpec, WrapperConfig, hookimpl

def unlearn(ctx):
    ctx.fit(ctx.config.wrapped.loss, params=lambda name: name.startswith("visual."))

@hookimpl
def salmu_methods():
    config = WrapperConfig.with_defaults(loss="pull")
    return [MethodSpec(name="over", summary="A test.", paper="https://example.org", config=config, unlearn=unlearn)]
"""


def planned(settings=None, method="salun", recommended=None, **study):
    (run,) = make_plan(Study(methods=(method,), **study), "vast", ZOO, settings or {}, recommended=recommended)
    return run


# What is planned


def test_a_wrapper_has_all_settings_of_the_loss_that_it_stands_on():
    run = planned(parse_settings(["salun.loss=delete", "salun.settings.lr=3e-7", "salun.settings.batch_size=4"]))
    inner = ZOO.methods["delete"].spec.config(lr=3e-7, batch_size=4)
    assert run.config.wrapped.config == inner
    assert run.config.model_dump()["settings"] == inner.model_dump() and run.wrapped.spec.name == "delete"
    assert len({planned({"salun": {"loss": name}}).key for name in ("delete", "cliperase", "vlunlearn")}) == 3
    assert run.key.config_hash == config_hash(run.config)


def test_the_command_of_a_run_is_typed_as_people_type_it_and_plans_the_same_run():
    run = planned(parse_settings(["salun.loss=delete", "salun.settings.lr=3e-7", "salun.share=0.25"]))
    words = shlex.split(run.command)
    given = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    assert sorted(given) == ["salun.loss=delete", "salun.settings.lr=3e-07", "salun.share=0.25"]
    assert planned(parse_settings(given)).key == run.key
    whole = json.loads(json.dumps(run.config.model_dump(mode="json")))  # as `salmu reproduce` has it, from the record
    assert planned({"salun": whole}).key == run.key


def test_what_a_benchmark_recommends_for_the_loss_holds_under_the_wrapper_too():
    advice = {"delete": Recommended(config={"lr": 3e-7, "warmup": 0.3}, budget=10, source="Our search.")}
    run = planned({"salun": {"loss": "delete"}}, recommended=advice)
    assert (run.config.wrapped.config.lr, run.config.wrapped.config.warmup, run.key.budget) == (3e-7, 0.3, 10)
    assert dict(run.origin.taken.config) == {"settings.lr": 3e-7, "settings.warmup": 0.3}
    own = planned({"salun": {"loss": "delete", "settings": {"lr": 1e-5}}}, recommended=advice, budgets=(2,))
    assert (own.config.wrapped.config.lr, own.config.wrapped.config.warmup, own.key.budget) == (1e-5, 0.3, 2)
    assert dict(own.origin.taken.config) == {"settings.warmup": 0.3} and own.origin.taken.budget is None
    assert planned(recommended=advice).origin.taken is None, "it stands on another loss"


def test_options_go_over_a_study_file_setting_by_setting():
    tables = {"salun": {"loss": "delete", "settings": {"lr": 1e-5, "warmup": 0.5}}}
    run = planned({"salun": {"settings": {"lr": 2e-5}}}, config=tables)
    assert (run.config.wrapped.config.lr, run.config.wrapped.config.warmup) == (2e-5, 0.5)


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        (["salun.loss=clip-erase"], UnknownNameError, "no method 'clip-erase'. Did you mean 'cliperase'"),
        (["salun.loss=salun"], UsageError, "no loss of salun, which stands on one itself"),
        (["salun.loss=descent-to-delete"], UsageError, "no loss of descent-to-delete, which changes weights"),
        (["salun.settings.lrr=1"], UnknownNameError, "no setting of cliperase 'lrr'. Did you mean 'lr'"),
        (["salun.settings.lr=-1"], UsageError, "cliperase: lr = -1"),
        (["salun.lr=1e-4"], UnknownNameError, r"salun\.settings\.lr"),
        (["salun.settings.lr=1", "salun.settings.lr=2"], UsageError, r"gives salun\.settings\.lr twice"),
        (["salun.loss=delete", "salun.loss.lr=2"], UsageError, r"gives salun\.loss\.lr twice"),
    ],
)
def test_mistakes_are_told_in_a_sentence(settings, error, sentence):
    with pytest.raises(error, match=sentence):
        planned(parse_settings(settings))


# What runs


def test_a_wrapped_loss_sees_its_own_settings_wherever_it_is_asked():
    spec = ZOO.methods["cliperase"].spec
    wrapped = WrapperConfig(settings={"forgetting_weight": 3}).around(spec).wrapped
    forget, retain = (random_pairs(seed) for seed in (1, 2))
    own = spec.loss(*fixed_step(spec.config(forgetting_weight=3), forget, retain))
    seen = wrapped.loss(*fixed_step(TrainingConfig(), forget, retain))
    assert {name: value.item() for name, value in seen.items()} == {name: value.item() for name, value in own.items()}


def test_a_wrapper_that_does_nothing_trains_as_the_method_itself_does(tiny):
    def unlearn(ctx):
        ctx.log("batches", len(next(ctx.batches("forget"))))
        ctx.fit(ctx.config.wrapped.loss, steps=2)

    def by_itself(ctx):
        ctx.log("batches", len(next(ctx.batches("forget"))))
        ctx.fit(method.loss, steps=2)

    method = ZOO.methods["vlunlearn"].spec
    over = MethodSpec(name="over", config=WrapperConfig.with_defaults(loss="vlunlearn"), unlearn=unlearn, **FACTS)
    alone = MethodSpec(name="alone", config=method.config, unlearn=by_itself, **FACTS)
    outcome, _ = run_method(over, tiny, budget=2, settings={"lr": 1e-3, "batch_size": 4, "decoupling_weight": 0.5})
    expected, _ = run_method(alone, tiny, budget=2, lr=1e-3, batch_size=4, decoupling_weight=0.5)
    for one, other in zip(outcome.model.parameters(), expected.model.parameters(), strict=True):
        assert np.array_equal(one.detach().numpy(), other.detach().numpy())
    assert outcome.fits == expected.fits and outcome.scalars == expected.scalars


def test_without_a_plan_there_is_no_loss():
    with pytest.raises(MethodError, match="around"):
        _ = WrapperConfig().wrapped


def test_what_a_wrapped_loss_keeps_in_its_module_is_seen_from_a_wrapper_of_another_package(install):
    source = PULL.replace("def loss(ctx, step):", "SEEN = []\n\ndef loss(ctx, step):\n    SEEN.append(step)")
    install("pull", source)
    spec = discover().methods["pull"].spec
    inner = WrapperConfig(loss="pull").around(spec).wrapped.loss

    def over(ctx, step):
        return inner(ctx, step)

    before = carried([over], {})
    spec.loss.__globals__["SEEN"].append(1)
    assert carried([over], {}) != before


# What is written


@pytest.fixture
def study(salmu, install, tiny):
    """A wrapper and what it wraps, run."""
    install("pull", PULL)
    install("over", OVER)

    def run(*words):
        lr = ("--set", "over.settings.lr=1e-3", "--set", "over.settings.batch_size=4")
        return salmu("run", "over", "--benchmark", str(tiny), "--budget", "1", *lr, *words)

    return run


def test_the_record_of_a_run_makes_it_again_and_other_code_of_the_loss_is_other_code(study, salmu, site):
    ended = study("--set", "over.settings.strength=2")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (path,) = salmu.folder.glob("**/over/*/*/run.json")
    record = json.loads(path.read_text())
    assert record["status"] == "valid" and record["config"]["settings"]["strength"] == 2
    assert record["fits"][0]["settings"]["lr"] == 1e-3 and record["config"]["loss"] == "pull"
    again = salmu("reproduce", str(path.parent))
    assert again.returncode == 0 and "last bit" in again.stdout, again.stdout + again.stderr
    assert "Nothing to do" in study("--set", "over.settings.strength=2").stdout
    (site / "test_plugin_pull.py").write_text(PULL + "\n# other code\n")
    for other in (salmu("results", fresh=True), study("--set", "over.settings.strength=2")):
        said = " ".join((other.stdout + other.stderr).split())
        assert "Another version of the method's code made finished runs of over (1);" in said


def test_runs_of_other_code_are_counted_over_all_worlds():
    assert not older_note(Counter(over=0))
    said = older_note(Counter(over=0, pull=3) + Counter(pull=3, cut=1))
    assert said.startswith("Another version of the method's code made finished runs of cut (1), pull (6);")


def test_listings_say_what_a_wrapper_stands_on(salmu, study):
    listed = {item["name"]: item["over"] for item in json.loads(salmu("methods", "--json").stdout)}
    assert listed["over"] == "pull" and listed["salun"] == "cliperase" and listed["delete"] == ""
    assert "cliperase" in salmu("methods", "salun").stdout


def test_where_what_it_wraps_is_not_installed_a_sentence_says_so(salmu, install, tiny):
    install("over", OVER)
    ended = salmu("run", "over", "--benchmark", str(tiny))
    assert ended.returncode == 2 and "There is no method 'pull'" in ended.stderr


@pytest.mark.xdist_group("salmu conformance")
def test_conformance_is_of_the_loss_that_is_asked_for():
    report = examine("method", "salun", only=["runs"], loss="generic-captions")
    assert report.sound and len(report.findings) == 1
    assert not examine("method", "salun", only=["runs"], loss="descent-to-delete").sound


def test_settings_for_what_is_not_examined_are_refused(salmu):
    for words, sentence in (
        (["salun", "--set", "delete.lr=1"], "settings for delete: no method or attack that is examined"),
        (["GenKnow", "--set", "GenKnow.x=1"], "settings for GenKnow: no method"),
        (["salun", "--set", "salun.shares=1"], "no setting of salun 'shares'"),
    ):
        ended = salmu("check", *words)
        assert ended.returncode == 2 and sentence in " ".join(ended.stderr.split()), ended.stderr


@pytest.mark.parametrize(("loss", "names"), [("direct-similarity", ["direct-similarity"]), ("cliperase", None)])
def test_the_terms_of_a_loss_have_names_and_add_up_to_it(loss, names):
    wrapped = WrapperConfig(loss=loss).around(ZOO.methods[loss].spec).wrapped
    ctx, step = fixed_step(wrapped.config, random_pairs(4), random_pairs(5))
    terms, found = wrapped.terms(ctx, step), wrapped.loss(ctx, step)
    assert list(terms) == (names or list(found)) and len(terms) == (len(names) if names else len(found))
    assert sum(terms.values()).item() == pytest.approx(total(found).item())
