"""A broken plugin is a row with a reason; the others go on."""

import hashlib
import json
import sys
from importlib.metadata import distributions

import pytest
from sources import method

from salmu_core.cli.commands import Installed
from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.plugins.allowed import source
from salmu_core.plugins.code import code_hash
from salmu_core.plugins.zoo import discover
from salmu_core.study.trackers import load_tracker

GOOD = method("good", "pass")


def row(name):
    return next(r for r in discover().plugins if r.name == name)


def test_a_sound_plugin_is_found_with_its_distribution(install):
    install("good", GOOD)
    declared = discover().methods["good"]
    assert (declared.distribution, declared.version, declared.spec.summary) == ("good", "1.0", "A test.")
    assert row("good").declares == ("method good",) and row("good").problem is None


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise RuntimeError('boom')", ["can't be imported", "RuntimeError: boom"]),
        ("import no_such_module", ["can't be imported", "no_such_module"]),
        ("raise SystemExit(3)", ["can't be imported", "SystemExit"]),
        ("x = 1", ["declares nothing", "@hookimpl"]),
        (GOOD.replace("salmu_methods", "salmu_method"), ["no hook 'salmu_method'", "'salmu_methods'"]),
        (GOOD.replace("@hookimpl\n", ""), ["salmu_methods() lacks the @hookimpl"]),
        (GOOD.replace("return [", "return dict() or [7, "), ["int", "MethodSpec"]),
        (GOOD.split("    return")[0] + "    return 'good'\n", ["returned str", "list of MethodSpec"]),
        (GOOD.split("    return")[0] + "    raise KeyError('inside')\n", ["KeyError", "inside"]),
        (GOOD.replace('name="good"', 'name="Not A Name"'), ["name", "pattern"]),
        (GOOD.replace("unlearn=unlearn", ""), ["exactly one of 'loss' and 'unlearn'"]),
        (GOOD.replace("salmu_methods()", "salmu_methods(zoo)"), ["zoo"]),
    ],
)
def test_each_mistake_is_named(install, source, words):
    install("good", GOOD)
    install("bad", source)
    zoo = discover()
    problem = next(r for r in zoo.plugins if r.name == "bad").problem
    assert problem is not None
    for word in words:
        assert word in problem, problem
    assert "good" in zoo.methods and "bad" not in [m.distribution for m in zoo.methods.values()]


def test_a_clash_names_both_and_neither_wins(install):
    install("first", GOOD)
    install("second", GOOD)
    zoo = discover()
    assert "good" not in zoo.methods
    assert "second" in row("first").problem and "first" in row("second").problem


def test_a_plugin_for_another_core_is_not_imported(install):
    install("future", "raise AssertionError('imported')", requires="salmu-core>=99")
    assert "written for salmu-core>=99" in row("future").problem


def test_unknown_names_come_with_near_ones(install):
    install("good", GOOD)
    with pytest.raises(UnknownNameError, match="'good'"):
        discover().methods["goood"]


def test_code_hash_follows_the_source(install, site):
    install("good", GOOD)
    before = code_hash("test_plugin_good")
    (site / "test_plugin_good.py").write_text(GOOD + "\n# changed\n")
    code_hash.cache_clear()  # as in another process
    assert code_hash("test_plugin_good") != before


def test_code_hash_imports_no_package_that_a_module_is_in(site):
    (site / "test_plugin_around").mkdir()
    for name, text in (("__init__", "raise AssertionError('imported')"), ("inner", GOOD)):
        (site / "test_plugin_around" / f"{name}.py").write_text(text)
    sha256 = hashlib.sha256(GOOD.encode()).hexdigest()
    written = f'[["inner.py","{sha256}"]]'
    assert code_hash("test_plugin_around.inner:x") == hashlib.sha256(written.encode()).hexdigest()


def test_the_traceback_of_a_broken_plugin_is_shown_when_asked_for(install, capsys, monkeypatch):
    from salmu_core.cli.listings import plugins

    install("bad", "def inner():\n    raise RuntimeError('boom')\n\ninner()\n")
    plugins(False)
    assert "in inner" not in capsys.readouterr().err
    monkeypatch.setenv("SALMU_DEBUG", "1")
    plugins(False)
    assert "in inner" in capsys.readouterr().err


def test_only_plugins_that_are_named_are_imported_and_the_others_are_as_if_not_installed(install, monkeypatch):
    for name in ("one", "two"):
        install(name, method(name, "pass"))
    everything = discover()
    monkeypatch.setenv("SALMU_PLUGINS", "One, salmu_protocol.metrics")
    for module in ("test_plugin_one", "test_plugin_two"):
        sys.modules.pop(module, None)
    zoo = discover(fresh=True)
    assert (
        [*zoo.methods] == ["one"]
        and not zoo.benchmarks
        and [*zoo.metrics]
        == [name for name, metric in everything.metrics.items() if metric.distribution == "salmu-protocol-metrics"]
    )
    assert {row.distribution for row in zoo.plugins} == {"one", "salmu-protocol-metrics"}
    assert "test_plugin_two" not in sys.modules
    monkeypatch.setenv("SALMU_PLUGINS", "off")
    assert not discover().plugins
    monkeypatch.delenv("SALMU_PLUGINS")
    assert discover().plugins == everything.plugins


@pytest.mark.parametrize(
    ("names", "words"),
    [("salmu-delite", "Did you mean 'salmu-delete'"), ("off,salmu-delete", "not both"), ("none", "There is no")],
)
def test_plugins_that_are_not_installed_can_not_be_named(names, words, monkeypatch):
    monkeypatch.setenv("SALMU_PLUGINS", names)
    with pytest.raises(UsageError, match=words):
        discover()


def test_commands_and_trackers_of_others_are_switched_off_too(monkeypatch):
    monkeypatch.setenv("SALMU_PLUGINS", "salmu-delete")
    assert "report" not in [*Installed()] and "run" in Installed()
    with pytest.raises(UsageError, match="There is no tracker"):
        load_tracker("tensorboard")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ('{"url": "file:///home/x%20y", "dir_info": {"editable": true}}', "editable: /home/x y"),
        ('{"url": "file:///home/x", "dir_info": {}}', "file:///home/x, in SITE"),
        (
            '{"url": "https://me:secret@host/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
            "git+https://host/r.git@abc, in SITE",
        ),
        ('{"url": "https://host/p.whl", "archive_info": {}}', "https://host/p.whl, in SITE"),
        ("{", "its direct_url.json is damaged; in SITE"),
        ("[]", "its direct_url.json is damaged; in SITE"),
        (None, "nobody installed it, in SITE"),
    ],
)
def test_where_code_comes_from_is_told(told, words, install, site):
    install("told", method("told", "pass"))
    info = next(site.glob("told-*.dist-info"))
    if told is not None:
        (info / "direct_url.json").write_text(told)
    assert source(next(iter(distributions(name="told", path=[str(site)])))) == words.replace("SITE", str(site))


def test_plugins_shows_what_is_used_and_whose_code_it_is(salmu, install):
    install("one", method("one", "pass"))
    listed = {row["name"]: row for row in json.loads(salmu("--only-plugins", "one", "plugins", "--json").stdout)}
    assert listed["one"]["used"] and listed["one"]["declares"] == ["method one"]
    assert not listed["finetuning"]["used"] and listed["finetuning"]["source"].startswith("editable: ")
    assert listed["report"]["declares"] == ["command report"] and not listed["report"]["used"]
    refused = salmu("plugins", SALMU_PLUGINS="salmu-delite")
    assert refused.returncode == 2 and "salmu-delete" in refused.stderr
