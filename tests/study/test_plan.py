from inspect import signature

import pytest

from salmu_core.cli.run import asked_for, run
from salmu_core.contract.settings import make_config
from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.plugins.zoo import discover
from salmu_core.study.asked import Study, read_study
from salmu_core.study.parsing import parse_budgets, parse_numbers, parse_settings
from salmu_core.study.plan import config_hash, make_plan

ZOO = discover()


def test_a_plan_is_the_product_of_its_axes():
    study = Study(methods=("cliperase", "delete"), budgets=(1, 5), seeds=(0, 1, 2))
    plan = make_plan(study, "mini", ZOO, {})
    assert len({p.key for p in plan}) == len(plan) == 2 * 2 * 3
    path = str(plan[0].key.path)
    assert path.startswith("mini/cliperase/") and path.endswith("/b1-s0")


def test_worlds_are_benchmarks_of_their_own():
    study = Study(worlds=(0, 3, 3, 1), methods=("delete",))
    assert study.benchmarks == ["mini", "mini@3", "mini@1"]
    (planned,) = make_plan(study, "mini@3", ZOO, {})
    assert "--benchmark mini@3" in planned.command and str(planned.key.path).startswith("mini@3/delete/")
    assert Study(benchmark="mini@3").benchmarks == ["mini@3"] and Study(benchmark="./here").benchmarks == ["./here"]


@pytest.mark.parametrize("benchmark", ["mini@3", "./here"])
def test_worlds_of_what_is_one_world_are_refused(benchmark):
    with pytest.raises(UsageError, match="is one"):
        _ = Study(benchmark=benchmark, worlds=(0, 1)).benchmarks


def test_all_means_every_installed_method():
    assert {p.key.method for p in make_plan(Study(), "mini", ZOO, {})} == set(ZOO.methods)


def test_a_tag_means_every_installed_method_of_its_kind():
    def of(**asked):
        return [p.key.method for p in make_plan(Study(**asked), "mini", ZOO, {})]

    wrappers, control = of(tags=("wrapper",)), of(tags="control")
    assert {name for name, method in ZOO.methods.items() if method.over} == {*wrappers} and control == ["noise"]
    assert of(tags=("wrapper", "control", "wrapper")) == sorted([*wrappers, "noise"])
    assert of(methods=("delete", "noise"), tags=("control",)) == ["delete", "noise"]
    with pytest.raises(UnknownNameError, match=r"no tag 'contrl'.*'control'"):
        of(tags=("contrl",))
    assert not Study(methods=("delete",), tags=("control",)).named and Study(methods=("delete",)).named


def test_an_option_is_over_what_a_file_takes():
    typed = dict.fromkeys(signature(run).parameters)
    file = Study(methods=("delete",), config={"delete": {"lr": 1e-4}, "noise": {"relative": 0.1}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("salmu_core.study.asked.read_study", lambda path: file)
        asked, _ = asked_for({**typed, "config": "study.toml", "tag": ["control"]})
        assert [p.key.method for p in make_plan(asked, "mini", ZOO, {})] == ["noise"]
        asked, _ = asked_for({**typed, "config": "study.toml"})
        assert asked.methods == ("delete",)


def test_a_list_of_settings_is_one_run_each():
    study = Study(methods=("cliperase",), config={"cliperase": [{"lr": 1e-4}, {"lr": 1e-3}]})
    plan = make_plan(study, "mini", ZOO, {"cliperase": {"batch_size": 8}})
    assert [(p.config.lr, p.config.batch_size) for p in plan] == [(1e-4, 8), (1e-3, 8)]
    assert len({p.key.config_hash for p in plan}) == 2


def test_settings_are_json_or_text():
    assert parse_settings(["a.x=1e-4", "a.y=text", "b.z=[1, 2]"]) == {"a": {"x": 1e-4, "y": "text"}, "b": {"z": [1, 2]}}
    with pytest.raises(UsageError, match=r"METHOD\.FIELD=VALUE"):
        parse_settings(["lr=1"])


def test_mistakes_name_what_comes_near():
    with pytest.raises(UnknownNameError, match="cliperase"):
        make_plan(Study(methods=("clip-erase",)), "mini", ZOO, {})
    with pytest.raises(UnknownNameError, match="'batch_size'"):
        make_config(ZOO.methods["cliperase"].spec, {"batchsize": 8})
    with pytest.raises(UsageError, match="lr = -1"):
        make_config(ZOO.methods["cliperase"].spec, {"lr": -1})
    with pytest.raises(UsageError, match="delete"):
        make_plan(Study(methods=("cliperase",)), "mini", ZOO, {"delete": {"lr": 1e-3}})


def test_the_hash_is_of_the_resolved_config():
    spec = ZOO.methods["cliperase"].spec
    default = spec.config().lr
    assert config_hash(make_config(spec, {"lr": default})) == config_hash(make_config(spec, {}))
    assert config_hash(make_config(spec, {"lr": default * 2})) != config_hash(make_config(spec, {}))


def test_the_command_makes_the_run_again():
    study = Study(methods=("delete",), benchmark="mini@3", budgets=(2,), seeds=(7,))
    (planned,) = make_plan(study, "mini@3", ZOO, {"delete": {"variant": "paper", "lr": 0.25}})
    words = planned.command.split()
    assert words[:3] == ["salmu", "run", "delete"]
    settings = parse_settings([words[i + 1] for i, word in enumerate(words) if word == "--set"])
    assert make_config(planned.method.spec, settings["delete"]) == planned.config
    assert "--benchmark mini@3" in planned.command and "--seed 7" in planned.command


def test_study_files(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        'methods = ["delete"]\nbudgets = [1, 5]\n[[config.delete]]\nlr = 1e-4\n[[config.delete]]\nlr = 1e-3\n'
    )
    assert len(make_plan(read_study(path), "mini", ZOO, {})) == 4
    path.write_text("bugdets = [1]\n")
    with pytest.raises(UsageError, match="did you mean 'budgets'"):
        read_study(path)
    path.write_text("budgets = [-1]\n")
    with pytest.raises(UsageError, match="greater than 0"):
        read_study(path)
    path.write_text("= nonsense")
    with pytest.raises(UsageError, match="not valid TOML"):
        read_study(path)
    with pytest.raises(UsageError, match="is missing"):
        read_study(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("texts", "seeds"),
    [
        (["3"], [3]),
        (["0-2"], [0, 1, 2]),
        (["0,2", "5-6"], [0, 2, 5, 6]),
        (["1-2", "2,1"], [1, 2]),
        ([], []),
        (["4-4"], [4]),
    ],
)
def test_seeds_are_numbers_ranges_and_lists(texts, seeds):
    assert parse_numbers(texts, "--seed", "seeds") == seeds


@pytest.mark.parametrize("text", ["-1", "2-1", "a", "", "1,", "0-", "1.5", "²", "0--3", "0-1-2", "0-99999999"])
def test_other_seeds_are_refused(text):
    with pytest.raises(UsageError, match="0-4"):
        parse_numbers([text], "--seed", "seeds")


def test_budgets_are_numbers_and_lists():
    assert parse_budgets(["1,5", "0.5", "5"]) == [1, 5, 0.5]
    with pytest.raises(UsageError, match="above 0"):
        parse_budgets(["1;5"])


def study_of(tmp_path, text):
    path = tmp_path / "study.toml"
    path.write_text(text)
    return read_study(path)


def test_a_single_value_in_a_file_is_a_list_of_one(tmp_path):
    text = 'methods = "delete"\nbudgets = 5\nseeds = 3\nworlds = 1\nretain = "a.tar"\nattacks = "bare-value"\n'
    study = study_of(tmp_path, text)
    assert (study.methods, study.budgets, study.seeds, study.worlds) == (("delete",), (5.0,), (3,), (1,))
    assert (study.retain, study.attacks) == (("a.tar",), ("bare-value",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seeds = [true]", "true: input should be a valid integer"),
        ("seeds = 1.0", "valid integer"),
        ('budgets = ["5"]', "'5': input should be a valid number"),
        ("budgets = true", "true: input should be a valid number"),
        ("seeds = {a = 1}", r"it should be a list, as in \[1, 2\]"),
        ("requests = true", "valid integer"),
        ('retain_share = "0.5"', "valid number"),
        ("methods = 3", "valid string"),
        ("methods = []", "at least 1 item"),
    ],
)
def test_other_kinds_of_values_are_refused_in_words_of_a_file(tmp_path, text, words):
    with pytest.raises(UsageError, match=words) as refused:
        study_of(tmp_path, text)
    assert "JSON" not in str(refused.value) and "tuple" not in str(refused.value)


def test_settings_of_a_method_that_is_not_run_are_refused_unless_an_option_leaves_it_out(tmp_path):
    study = study_of(tmp_path, 'methods = ["delete", "finetuning"]\n[config.finetuning]\nlr = 1e-6\n')
    assert len(make_plan(study, "mini", ZOO, {})) == 2
    assert len(make_plan(study.over({"methods": ["delete"]}), "mini", ZOO, {})) == 1
    stray = study_of(tmp_path, 'methods = ["delete"]\n[config.finetuning]\nlr = 1e-6\n')
    for study in (stray, stray.over({"seeds": [1]}), stray.over({"methods": ["cliperase"]})):
        with pytest.raises(UsageError, match="given for finetuning, which this run does not include"):
            make_plan(study, "mini", ZOO, {})
    everything = study_of(tmp_path, "[config.finetuning]\nlr = 1e-6\n")
    assert len(make_plan(everything.over({"methods": ["delete"]}), "mini", ZOO, {})) == 1
