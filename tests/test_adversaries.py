"""Plugins that do what no plugin should: each is caught by its rule, in a sentence with its name and a remedy."""

from pathlib import Path

import pytest

from salmu_core.testing.conformance import RULES, examine

FOLDER = Path(__file__).parent / "adversaries"
#: Adversary -> the rule it breaks, and words of what it is told.
METHODS = {
    "import-error": ("loads", ["can't be imported", "a_module_nobody_has"]),
    "wrong-return-type": ("loads", ["salmu_methods() returned MethodSpec", "list of MethodSpec"]),
    "misspells-two-hooks": ("loads", ["'salmu_method'", "'salmu_methods'", "'salmu_metric'", "'salmu_metrics'"]),
    "mutates-the-original": ("original", ["changed Compromised itself"]),
    "mutates-the-reference": ("original", ["changed ctx.reference"]),
    "seeds-the-global-generator": ("random", ["torch's global generator", "ctx.rng"]),
    "keeps-grad-flags": ("tidy", ["no longer takes gradients", "params="]),
    "own-optimizer": ("loop", ["torch.optim.SGD", "ctx.fit"]),
    "detaches-a-term": ("terms", ["'leak'", "detach"]),
    "reads-the-holdouts": ("blind", ["other holdouts", "other weights"]),
    "changes-nothing": ("changes", ["not a single weight", "ctx.edit()"]),
    "returns-a-new-model": ("runs", ["returned a CLIP", "ctx.model"]),
    "turns-to-nan": ("finite", ["visual.proj", "NaN"]),
    "writes-outside": ("files", ["weights.bin", "ctx.log"]),
    "never-ends": ("ends", ["still going after 3 s", "ctx.budget"]),
    "exits-the-process": ("alive", ["ended the process with 3"]),
    "raises-system-exit": ("runs", ["SystemExit", "raises_system_exit.py"]),
    "keeps-state": ("same-bytes", ["two runs with seed 0", "no state"]),
    "order-of-a-set": ("elsewhere", ["another process got other bytes", "sets of strings"]),
    "asks-the-network": ("alone", ["socket.", "127.0.0.1"]),
    "cheats-the-meter": ("globals", ["salmu_core.meter.Meter.charge"]),
    "overdraws": ("budget", ["budget allows"]),
    "halves-the-model": ("shape", ["float16"]),
    "needs-a-full-batch": ("one-batch", ["too few pairs for me"]),
    "dislikes-bfloat16": ("bf16", ["crashed", "BFloat16"]),
}
METRICS = {
    "metric-of-chance": ("random", ["numpy.random"]),
    "metric-in-place": ("untouched", ["in place", "clone"]),
    "metric-constant": ("responds", ["very same"]),
    "metric-undeclared": ("splits", ["holdout_identity", "`reads`"]),
    "metric-nan": ("computes", ["nan"]),
    "metric-needs-many": ("small", ["too few people"]),
}


@pytest.mark.parametrize(
    ("kind", "name", "rule", "words"),
    [
        pytest.param(kind, name, *expected, id=name)
        for kind, adversaries in (("method", METHODS), ("metric", METRICS))
        for name, expected in adversaries.items()
    ],
)
def test_each_is_caught(isolated_plugins, kind, name, rule, words):
    source = FOLDER.joinpath(name.replace("-", "_") + ".py").read_text()
    isolated_plugins.install(name, source, module=name.replace("-", "_"))
    report = examine(kind, name, patience=3)
    found = report[rule]
    assert not report.sound and found.verdict == "failed", report.markdown(RULES[kind])
    remedy = next(r.remedy for r in RULES[kind] if r.name == rule)
    for word in (name, repr(rule), remedy, *words):
        assert word in found.sentence


def test_every_adversary_is_examined():
    assert {path.stem.replace("_", "-") for path in FOLDER.glob("*.py")} == {*METHODS, *METRICS}


def test_a_clash_is_caught_by_both_names(isolated_plugins):
    source = FOLDER.joinpath("changes_nothing.py").read_text()
    isolated_plugins.install("first", source)
    isolated_plugins.install("second", source)
    for name in ("changes-nothing", "first", "second"):
        found = examine("method", name)["loads"]
        assert found.verdict == "failed" and "also declared by" in found.sentence
