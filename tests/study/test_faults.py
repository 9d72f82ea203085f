"""Faults that pass while something is computed: nothing of them is kept, and the same command mends all."""

import json

import pyarrow.parquet as pq
import pytest

PLUGIN = '''
import errno
import os
from pathlib import Path

import numpy as np

from salmu_core import AttackSpec, MethodSpec, MetricResult, MetricSpec, PerRow, Query, hookimpl

FACTS = {"summary": "A test.", "paper": "https://example.org"}
FAULTS = {
    "memory": MemoryError,
    "disk": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "library": lambda: ImportError("no module named 'gone'"),
    "card": lambda: RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "mistake": lambda: ValueError("boom"),
}

def passing(place):
    """Raise what a file says, once."""
    file = Path("faults", place)
    if file.exists():
        fault = file.read_text()
        file.unlink()
        raise FAULTS[fault]()

def unlearn(ctx):
    fault = Path("faults", "method")
    if "-s0." in os.environ["TMPDIR"] and fault.exists():  # it may be read here, and not taken away
        raise FAULTS[fault.read_text()]()
    with ctx.edit() as weights:
        weights["text_projection"].mul_(0.9)

def compute(ctx):
    calls = Path("calls")
    calls.write_text(str(int(calls.read_text()) + 1 if calls.exists() else 1))
    passing(f"metric {calls.read_text()}")
    found = ctx.embeddings("forget")
    return MetricResult(per_row=PerRow("forget", 1 + (found.image * found.text).sum(-1).double().numpy()))

def count(ctx):
    return MetricResult(per_row=PerRow("forget", np.ones(len(ctx.embeddings("forget").image))))

def ask(ctx):
    passing("attack")
    return [Query(captions=ctx.forget.captions, label="own")]

@hookimpl
def salmu_methods():
    return [MethodSpec(name="shrink", unlearn=unlearn, **FACTS)]

@hookimpl
def salmu_metrics():
    facts = {**FACTS, "pillar": "efficacy", "target": "clean", "reads": ("forget",)}
    return [
        MetricSpec(name="Count", compute=count, **facts),
        MetricSpec(name="Leak", role="leak", bounds=(0, 2), compute=compute, **facts),
    ]

@hookimpl
def salmu_attacks():
    return [AttackSpec(name="ask", query=ask, **FACTS)]
'''
RUN = ("run", "shrink", "--budget", "1", "--seed", "0-1", "--attack", "ask", "--processes", "1", "--benchmark")
#: As it is scored: Compromised or Clean, whichever is first, the other one, the run.
FIRST, SECOND, THIRD = "metric 1", "metric 2", "metric 3"


@pytest.fixture
def study(salmu, install, tiny):
    install("faulty", PLUGIN)
    (salmu.folder / "faults").mkdir()

    def run(*words, **faults):
        for path in (salmu.folder / "calls", salmu.folder / "faults" / "method"):
            path.unlink(missing_ok=True)
        for place, fault in faults.items():
            (salmu.folder / "faults" / place.replace("_", " ")).write_text(fault)
        return salmu("--only-plugins", "faulty", *RUN, tiny, "--json", *words)

    run.runs = salmu.folder / "runs"
    return run


def contents(runs):
    """All results, but for times and memory."""
    found = {}
    for path in sorted(runs.rglob("*.*")):
        if path.suffix == ".json" and path.name in ("run.json", "metrics.json", "attack.json"):
            record = json.loads(path.read_text())
            for name in ("started", "seconds", "command", "files", "seal"):
                record.pop(name, None)
            for name in ("seconds", "peak_memory_bytes"):
                record.get("ledger", {}).pop(name, None)
            found[path.relative_to(runs)] = record
        elif path.suffix == ".parquet":
            found[path.relative_to(runs)] = pq.read_table(path).to_pylist()
        elif path.suffix == ".safetensors":
            found[path.relative_to(runs)] = path.read_bytes()
    return found


def test_what_the_machine_failed_is_told_left_out_and_mended_by_the_same_command(study):
    undisturbed = study()
    assert undisturbed.returncode == 0, undisturbed.stderr
    wanted = contents(study.runs)
    assert len(wanted) > 15
    study.runs.rename(study.runs.with_name("undisturbed"))

    done = study(method="disk", metric_1="memory", metric_3="card", attack="library")
    assert done.returncode == 1
    for words in ("MemoryError", "CUDA out of memory", "no module named 'gone'", "No space left on device"):
        assert words in done.stderr and "same command tries again" in done.stderr, done.stderr
    kept = contents(study.runs)
    (run,) = [path.parent for path in kept if path.name == "run.json"]  # of two
    references = [record["metrics"] for path, record in kept.items() if path.match("_references/*/metrics.json")]
    assert sorted(map(list, references), key=len) == [["Count"], ["Count", "Leak"]]
    assert list(kept[run / "metrics.json"]["metrics"]) == ["Count"]  # the other one is there
    assert len([path for path in kept if path.name == "attack.json"]) == 2  # of three, and one has no run

    mended = study()
    assert mended.returncode == 0 and contents(study.runs) == wanted, mended.stderr


def test_a_mistake_in_a_references_metric_is_kept_until_it_is_redone(study):
    done = study(metric_1="mistake")
    assert done.returncode == 1 and "ValueError: boom" in done.stderr
    again = study()
    assert again.returncode == 1 and "Nothing to do" in again.stderr
    redone = study("--redo")
    assert redone.returncode == 0, redone.stderr
