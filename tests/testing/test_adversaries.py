"""Plugins that do what no plugin should: each is caught by its rule, in a sentence with its name and a remedy."""

from pathlib import Path

import psutil
import pytest

from salmu_core.testing.conformance import RULES, examine
from salmu_core.testing.conformance.examination import PATIENCE

pytestmark = pytest.mark.xdist_group("salmu conformance")

FOLDER = Path(__file__).parents[1] / "adversaries"
#: Adversary -> the rule it breaks, and words of what it is told.
METHODS = {
    "import-error": ("loads", ["can't be imported", "a_module_nobody_has"]),
    "wrong-return-type": ("loads", ["salmu_methods() returned MethodSpec", "list of MethodSpec"]),
    "misspells-two-hooks": ("loads", ["'salmu_method'", "'salmu_methods'", "'salmu_metric'", "'salmu_metrics'"]),
    "mutates-the-original": ("original", ["changed the model that runs begin with"]),
    "mutates-the-reference": ("original", ["changed ctx.reference"]),
    "seeds-the-global-generator": ("random", ["torch.manual_seed", "ctx.rng"]),
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
    "remembers-the-first-seed": ("elsewhere", ["other bytes for seed 0", "began with another one"]),
    "saves-a-tensor": ("files", ["cache.pt"]),
    "trains-by-hand": ("loop", ["calls backward()", "times itself"]),
    "swaps-an-activation": ("shape", ["mlp.gelu", "no checkpoint can hold"]),
    "seeds-at-import": ("random", ["random.seed"]),
    "keeps-state": ("same-bytes", ["two runs with seed 0", "no state"]),
    "order-of-a-set": ("elsewhere", ["another process", "other bytes", "sets of strings"]),
    "asks-the-network": ("alone", ["socket.", "127.0.0.1"]),
    "cheats-the-meter": ("globals", ["salmu_core.run.meter.Meter.charge"]),
    "overdraws": ("budget", ["budget allows"]),
    "counts-where-nobody-looks": ("resumes", ["interrupted after", "other weights", "ctx.state"]),
    "halves-the-model": ("shape", ["float16"]),
    "needs-a-full-batch": ("one-batch", ["too few pairs for me"]),
    "leaves-adapters": ("shape", ["the model still has adapters", "`with ctx.adapters"]),
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
ATTACKS = {
    "attack-asks-for-more": ("given", ["'original'", "was refused, and went on"]),
    "attack-mutates-the-target": ("untouched", ["the attacked checkpoint", "ctx.edit()"]),
    "attack-turns-to-nan": ("result", ["visual.proj", "NaN"]),
    "attack-keeps-state": ("same-bits", ["two attacks on one checkpoint", "no state"]),
    "attack-order-of-a-set": ("elsewhere", ["another process", "sets of strings"]),
    "attack-draws-noise": ("random", ["torch's global generator", "ctx.random"]),
    "attack-needs-many": ("small", ["too few rows to fit on"]),
    "attack-dislikes-bfloat16": ("bf16", ["crashed", "BFloat16"]),
    "attack-finds-nothing": ("succeeds", ["mean reciprocal rank", "in the other"]),
}


@pytest.mark.parametrize(
    ("kind", "name", "rule", "words"),
    [
        pytest.param(kind, name, *expected, id=name)
        for kind, adversaries in (("method", METHODS), ("metric", METRICS), ("attack", ATTACKS))
        for name, expected in adversaries.items()
    ],
)
def test_each_is_caught(isolated_plugins, kind, name, rule, words):
    source = FOLDER.joinpath(name.replace("-", "_") + ".py").read_text()
    isolated_plugins.install(name, source, module=name.replace("-", "_"))
    # Patience runs out by the clock: where a machine is busy, little of it would end honest runs too.
    report = examine(kind, name, patience=3 if rule == "ends" else PATIENCE, only={rule})
    found = report[rule]
    verdict = "advice" if rule == "succeeds" else "failed"
    assert found.verdict == verdict and report.sound == (verdict == "advice"), report.markdown(RULES[kind])
    remedy = next(r.remedy for r in RULES[kind] if r.name == rule)
    for word in (name, repr(rule), remedy, *words):
        assert word in found.sentence


def test_every_adversary_is_examined():
    assert {path.stem.replace("_", "-") for path in FOLDER.glob("*.py")} == {*METHODS, *METRICS, *ATTACKS}


def test_a_clash_is_caught_by_both_names(isolated_plugins):
    source = FOLDER.joinpath("changes_nothing.py").read_text()
    isolated_plugins.install("first", source)
    isolated_plugins.install("second", source)
    for name in ("changes-nothing", "first", "second"):
        found = examine("method", name, only={"loads"})["loads"]
        assert found.verdict == "failed" and "also declared by" in found.sentence


HONEST = """
import copy, tempfile
from pathlib import Path

import torch
from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    from sklearn.cluster import KMeans

    teacher = copy.deepcopy(ctx.model).eval()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as file:
        Path(folder, "notes.txt").write_text("temporary")
        file.write(b"temporary")
    with torch.random.fork_rng():
        head = torch.nn.Linear(4, 4)
    features = torch.cat([ctx.reference_features(batch).text for batch in ctx.batches("forget", 8)])
    groups = KMeans(2, random_state=0, n_init=1).fit_predict(features.numpy())
    seen = []
    handle = ctx.model.ln_final.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        teacher.encode_text(ctx.tokenize(["a text"]))
        ctx.model.encode_text(ctx.tokenize(["a text"]))
    handle.remove()
    direction = features[torch.from_numpy(groups == 0)].mean(dim=0)
    with ctx.edit() as weights:
        weights["text_projection"] -= (weights["text_projection"] @ direction).outer(direction)


@hookimpl
def salmu_methods():
    facts = {"summary": "A test.", "paper": "https://arxiv.org/abs/1", "departures": "Many."}
    return [MethodSpec(name="honest", unlearn=unlearn, **facts)]
"""


def test_an_honest_plugin_that_uses_what_there_is_passes(isolated_plugins):
    isolated_plugins.install("honest", HONEST)
    report = examine("method", "honest")
    assert report.sound, report.markdown(RULES["method"])


def test_what_a_plugin_starts_ends_with_it_and_nothing_is_left_behind(isolated_plugins, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = (
        HONEST.split("def unlearn")[0]
        + (
            "def unlearn(ctx):\n    import subprocess\n    subprocess.Popen(['sleep', '97531'])\n"
            "    with ctx.edit() as weights:\n        weights['visual.proj'].mul_(2)\n\n\n@hookimpl"
        )
        + HONEST.split("@hookimpl")[1].replace("honest", "starts")
    )
    isolated_plugins.install("starts", source)
    assert examine("method", "starts", only={"alone"})["alone"].verdict == "failed"
    assert not [p for p in psutil.process_iter(["cmdline"]) if "97531" in (p.info["cmdline"] or [])]
    assert not list(tmp_path.glob("salmu-check-*"))
