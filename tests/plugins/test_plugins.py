"""A broken plugin is a row with a reason; the others go on."""

import hashlib

import pytest
from sources import method

from salmu_core.errors import UnknownNameError
from salmu_core.plugins.code import code_hash
from salmu_core.plugins.zoo import discover

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
