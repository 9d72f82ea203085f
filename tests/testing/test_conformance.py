"""The conformance kit itself: known failures, advice, pytest, the command line."""

import json
import re

import pytest
import typer
from sources import method

from salmu_core.cli.check import check
from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.testing import ConformanceAdvice, check_method
from salmu_core.testing.conformance import RULES, examination, examine
from salmu_core.testing.conformance.rules import METHOD_RULES

pytestmark = pytest.mark.xdist_group("salmu conformance")

SCALE = 'with ctx.edit() as weights:\n    weights["visual.proj"].mul_(1.5)'
KNOWN = 'unlearn=unlearn, known_failures={{"{rule}": "{reason}"}}'


def known(source, rule, reason="Nobody has found another way yet."):
    return source.replace("unlearn=unlearn", KNOWN.format(rule=rule, reason=reason))


@pytest.fixture
def once(monkeypatch):
    """Examines a method; whoever asks for it to be examined again is told the same."""

    def report_of(name, only=()):
        report = examine("method", name, only=only)
        monkeypatch.setattr(examination, "examine", lambda *asked, patience: {("method", name): report}[asked])
        return report

    return report_of


def test_a_known_failure_has_its_reason_in_the_declaration_and_is_no_failure(isolated_plugins, once):
    isolated_plugins.install("lazy", known(method("lazy", "ctx.log('x', 1)"), "changes"))
    report = once("lazy")
    assert (
        report.sound
        and report["changes"].verdict == "known"
        and "Nobody has found another way" in report["changes"].sentence
    )
    with pytest.raises(pytest.xfail.Exception, match="another way"):
        check_method("lazy")("changes")


def test_a_known_failure_that_holds_is_one(isolated_plugins):
    isolated_plugins.install("sound", known(method("sound", SCALE), "changes"))
    found = examine("method", "sound", only={"changes"})["changes"]
    assert found.verdict == "failed" and "Take it out" in found.sentence


@pytest.mark.parametrize(("rule", "reason", "words"), [("no-rule", "A good reason.", "no-rule"), ("changes", "", "10")])
def test_a_known_failure_needs_a_rule_and_a_reason(isolated_plugins, rule, reason, words):
    isolated_plugins.install("odd", known(method("odd", "raise RuntimeError"), rule, reason))
    found = examine("method", "odd", only={"loads"})["loads"]
    assert found.verdict == "failed" and words in found.sentence


def test_advice_fails_nobody(isolated_plugins, once):
    isolated_plugins.install("vague", method("vague", SCALE))
    report = once("vague", only={"provenance", "changes"})
    assert report.sound and report["provenance"].verdict == "advice" and "placeholder" in report["provenance"].sentence
    with pytest.warns(ConformanceAdvice, match="placeholder"):
        check_method("vague")("provenance")


@pytest.mark.parametrize(
    ("requires", "verdict"),
    [
        ("salmu-core>=0.2,<0.3", "passed"),
        ("salmu-core~=0.2.0", "passed"),
        ("salmu-core>=0.1", "failed"),
        ("salmu-core", "failed"),
        ("numpy", "failed"),
    ],
)
def test_a_plugin_says_which_core_it_was_written_for(isolated_plugins, requires, verdict):
    isolated_plugins.install("ranged", method("ranged", "raise RuntimeError"), requires=requires)
    assert examine("method", "ranged", only={"api-range"})["api-range"].verdict == verdict


def test_an_examination_of_one_rule_says_what_the_whole_one_says(isolated_plugins):
    isolated_plugins.install("lazy", method("lazy", "ctx.log('x', 1)"))
    whole = examine("method", "lazy")
    for rule in ("loads", "changes", "random", "elsewhere", "one-batch", "bf16"):
        (finding,) = examine("method", "lazy", only={rule}).findings
        assert finding == whole[rule]
    with pytest.raises(UnknownNameError, match="'changes'"):
        examine("method", "lazy", only={"change"})


def test_every_rule_is_a_test_and_what_was_not_reached_is_skipped(isolated_plugins):
    isolated_plugins.install("broken", method("broken", "raise RuntimeError('on purpose')"))
    test = check_method("broken")
    (marks,) = [m for m in test.pytestmark if m.name == "parametrize"]
    assert marks.args[1] == [rule.name for rule in METHOD_RULES]
    with pytest.raises(pytest.fail.Exception, match="RuntimeError: on purpose"):
        test("runs")
    with pytest.raises(pytest.skip.Exception, match="not reached"):
        test("same-bytes")
    test("loads")


def test_rules_have_names_of_their_own_and_speak_in_sentences():
    for rules in RULES.values():
        assert len({rule.name for rule in rules}) == len(rules)
        for rule in rules:
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name)
            assert all(text[0].isupper() or text[0] == "`" for text in (rule.demand, rule.remedy))
            assert rule.demand.endswith(".") and rule.remedy.endswith(".")


def test_left_out_rules_are_told(pytester):
    pytester.makepyfile('from salmu_core.testing import check_method\ntest_it = check_method("nothing")\n')
    done = pytester.runpytest_subprocess("-k", "none_of_them", "-p", "no:cacheprovider")
    done.stdout.fnmatch_lines([f"salmu: {len(METHOD_RULES)} rules of conformance were left out*test_it*"])


def test_the_command_prints_what_goes_into_a_pull_request(isolated_plugins, capsys):
    isolated_plugins.install("lazy", method("lazy", "ctx.log('x', 1)"))
    with pytest.raises(typer.Exit):
        check(["lazy"], False, 60, False)
    said = capsys.readouterr().out
    assert said.startswith("### method `lazy`: ") and "lazy 1.0" in said and "torch" in said
    rows = dict(re.findall(r"^\| ([a-z0-9-]+) \| (\*\*FAILED\*\*|[a-z ]+) \|", said, re.M))
    assert rows["changes"] == "**FAILED**" and rows["loads"] == "passed"
    (missed,) = re.findall(r"^\| (.*) \| not run \|", said, re.M)
    assert {*rows, *missed.split(", ")} == {rule.name for rule in METHOD_RULES} and "tidy" in missed
    assert "- **changes** (failed): method 'lazy' of lazy 1.0 breaks the rule 'changes'" in said


def test_the_command_speaks_json_and_finds_broken_plugins(isolated_plugins, capsys):
    isolated_plugins.install("gone", "import nothing_like_it")
    with pytest.raises(typer.Exit):
        check([], True, 60, True)
    (report,) = json.loads(capsys.readouterr().out)
    assert report["name"] == "gone" and not report["sound"]
    assert "nothing_like_it" in report["findings"][0]["sentence"]


def test_the_command_knows_no_other_names(isolated_plugins):
    isolated_plugins.install("lazy", method("lazy", "ctx.log('x', 1)"))
    with pytest.raises(UnknownNameError, match="Did you mean 'lazy'"):
        check(["lasy"], False, 60, False)
    with pytest.raises(UsageError, match="or give --all"):
        check([], False, 60, False)


def test_fixtures_for_plugins(tiny_benchmark, tiny_model, isolated_plugins):
    assert (tiny_benchmark / "data").is_dir() and (tiny_benchmark / "compromised").is_dir()
    assert sum(p.numel() for p in tiny_model.parameters()) < 1e6 and not tiny_model.training
    assert not isolated_plugins.discover().plugins
    isolated_plugins.show("salmu-cliperase")
    assert set(isolated_plugins.discover().methods) == {"cliperase"}
