"""Experiment tracking: what trackers are told is what the results say, and they change nothing."""

import json

import pytest
from accelerate import Accelerator
from sources import method
from trackers import Listener, Notes, draw

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.plugins.zoo import discover
from salmu_core.run import meter as meter_module
from salmu_core.run.meter import Meter
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import Store, read_run
from salmu_core.study.asked import Study
from salmu_core.study.execution import Execution
from salmu_core.study.plan import make_plan
from salmu_core.study.prepare import Options
from salmu_core.study.tracking import Trackers

#: Draws from every global generator, so that whoever else does shows in its weights.
GAMBLER = """
import random, numpy as np, torch
for i in range(3):
    drawn = random.random() + np.random.rand() + float(torch.rand(()))
    ctx.log("R@1 (drawn)", drawn, step=i)
    ctx.log("half", drawn / 2, step=i)
    with ctx.edit() as w: w["visual.proj"].mul_(1 + drawn)
"""
WEIGHTS = "open_clip_model.safetensors"


@pytest.fixture
def carry_out(tiny, tmp_path):
    """Carry out a study in this process; returns its store and plan."""
    accelerator, zoo = Accelerator(cpu=True), None

    def run(*methods, trackers=(), out="runs", unlearn=True, score=True, say=print, config=None, reporter=None):
        nonlocal zoo
        zoo = zoo or discover()
        benchmark = open_benchmark(str(tiny), zoo, lambda stage, fraction: None)
        plan = make_plan(Study(methods=methods, config=config or {}), benchmark.name, zoo, {})
        store = Store(tmp_path / out)
        execution = Execution(
            benchmark,
            store,
            list(zoo.metrics.values()),
            accelerator,
            reporter or Reporter(),
            options=Options(redo=True),
            trackers=Trackers(trackers, store.root, say),
        )
        if unlearn:
            execution.unlearn(plan)
        if score:
            execution.score(plan, [])
        return store, plan

    return run


def records(store, plan):
    """Folder, ``run.json`` and, if there are any, the values of ``metrics.json`` of each run."""
    for planned in plan:
        folder = store.folder(planned.key)
        run, metrics = read_run(folder), folder / "metrics.json"
        values = {}
        if metrics.is_file():
            values = {k: v for e in json.loads(metrics.read_text())["metrics"].values() for k, v in e["values"].items()}
        yield folder, run, values


def about(heard, planned):
    """All that was told of a run, in order: its openings with what followed each."""
    journals = []
    for what, content, step in heard:
        if what == "open":
            journals.append((content, []))
        else:
            journals[-1][1].append((what, content, step))
    return [(opening, entries) for opening, entries in journals if opening[0].path == planned.key.path]


def ledger(run):
    return {f"ledger/{name}": value for name, value in run.ledger.model_dump().items()}


def test_trackers_are_told_what_the_records_say_and_change_no_bit(carry_out, install, heard):
    install("gambler", method("gambler", GAMBLER))
    config = {"finetuning": {"batch_size": 4}}
    plain, plan = carry_out("finetuning", "gambler", out="plain", config=config)
    store, plan = carry_out("finetuning", "gambler", trackers=["listener"], config=config)
    for planned, (folder, run, metrics), (other, *_) in zip(
        plan, records(store, plan), records(plain, plan), strict=True
    ):
        (opening, unlearning), (again, scoring) = about(heard, planned)
        assert opening[0] == again[0] and (opening[2], again[2]) == (False, True)
        assert opening[1] == store.root / "_trackers" / "listener"
        points = {}
        for _, values, step in unlearning[:-3]:
            for name, value in values.items():
                points.setdefault(name.removeprefix("train/"), []).append((step, value))
        assert run.scalars and points == run.scalars
        end = [("log", ledger(run), None), ("explain", {"status": "valid"}, None), ("close", "finished", None)]
        assert unlearning[-3:] == end
        figures = {f"metrics/{name}": value for name, value in metrics.items()}
        assert metrics and scoring == [("log", figures, None), ("close", "finished", None)]
        assert planned.config.model_dump().keys() <= {
            name.removeprefix("config.") for name in opening[0].config if name.startswith("config.")
        }
        for file in (WEIGHTS, "per_row.parquet"):
            assert (folder / file).read_bytes() == (other / file).read_bytes(), file
    assert store.benchmarks() == plain.benchmarks() == [plan[0].key.benchmark]
    assert len(list(store.runs(plan[0].key.benchmark))) == 2 and not list(store.runs("_trackers"))


def test_metrics_come_into_the_same_run_later_and_by_somebody_else(carry_out, install, heard):
    install("gambler", method("gambler", GAMBLER))
    carry_out("gambler", trackers=["listener"], score=False)
    _, (planned,) = carry_out("gambler", trackers=["listener"], unlearn=False)
    (first, _), (second, entries) = about(heard, planned)
    assert first[0] == second[0] and second[2] and "metrics/GenKnow" in entries[0][1]


def test_while_methods_run_nothing_but_training_scalars_is_told(carry_out, install, heard):
    install("gambler", method("gambler", GAMBLER))
    install("other", method("other", GAMBLER))
    plain, _ = carry_out("gambler", "other", out="plain", score=False)
    store, plan = carry_out("gambler", "other", trackers=["listener"])
    kinds = [next(iter(content)).partition("/")[0] if what == "log" else what for what, content, _ in heard]
    run = ["open", "train", "train", "train", "ledger", "explain", "close"]
    assert kinds == [*run, *run, *["open", "metrics", "close"] * 2]
    # What the listener drew in between shows nowhere.
    for planned in plan:
        one, two = (each.folder(planned.key) / WEIGHTS for each in (plain, store))
        assert one.read_bytes() == two.read_bytes()
    # The values of one step are told together.
    assert [(set(content), step) for what, content, step in heard if what == "log"][:3] == [
        ({"train/R@1 (drawn)", "train/half"}, step) for step in range(3)
    ]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [("raise RuntimeError('[bold]inside[/]')", "crashed", "RuntimeError: [bold]inside[/]"), ("pass", "unchanged", "")],
)
def test_a_run_that_is_no_result_says_why(carry_out, install, heard, body, status, reason):
    install("bad", method("bad", body))
    store, plan = carry_out("bad", trackers=["listener"])
    ((_, run, _),) = records(store, plan)
    assert heard[-2:] == [("explain", {"status": status, "reason": run.reason}, None), ("close", "failed", None)]
    assert reason in run.reason and not any(
        name.startswith("metrics/") for what, content, _ in heard if what == "log" for name in content
    )


def test_an_interrupt_closes_the_run_everywhere(carry_out, install, heard):
    class Told(Reporter):
        def say(self, text):
            raise KeyboardInterrupt

    install("stopped", method("stopped", "ctx.log('x', 1.0)\nprint('here')\nimport time; time.sleep(600)"))
    with pytest.raises(KeyboardInterrupt):
        carry_out("stopped", trackers=["listener"], reporter=Told())
    assert heard[-3:] == [
        ("log", {"train/x": 1.0}, 0),
        ("explain", {"status": "stopped", "reason": "interrupted"}, None),
        ("close", "stopped", None),
    ]


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("open", RuntimeError("no network")),
        ("log", RuntimeError("no network")),
        ("log", SystemExit("no network")),
        ("explain", RuntimeError("no network")),
        ("close", RuntimeError("no network")),
    ],
)
def test_a_tracker_that_fails_is_said_once_and_harms_nobody(carry_out, install, bring, heard, where, error):
    install("gambler", method("gambler", GAMBLER))
    install("other", method("other", GAMBLER))
    calls, said = [], []

    def fail(self, *args):
        draw()
        calls.append(where)
        raise error

    notes = type("BrokenNotes", (Notes,), {where: fail})
    opens = {"open": fail} if where == "open" else {"open": lambda self, *facts: notes([])}
    bring("broken", type("Broken", (Listener,), opens))
    plain, _ = carry_out("gambler", "other", out="plain", score=False)
    store, plan = carry_out("gambler", "other", trackers=["broken", "listener"], say=said.append)
    (sentence,) = said
    assert all(word in sentence for word in ("gambler", "broken", type(error).__name__, "no network"))
    assert calls == [where]
    assert [what for what, *_ in heard].count("open") == [what for what, *_ in heard].count("close") == 4
    for (folder, run, metrics), (other, same, _) in zip(records(store, plan), records(plain, plan), strict=True):
        assert run.status == "valid" and run.scalars == same.scalars and metrics
        assert (folder / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()


def test_time_spent_on_trackers_is_not_the_methods(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(meter_module.time, "perf_counter", lambda: next(clock))
    scalars = []
    meter = Meter(1, 10, lambda *scalar: scalars.append(scalar))
    meter.log("x", 0.5, 1)
    meter.log("x", 0.25, 2)
    assert scalars == [("x", 0.5, 1), ("x", 0.25, 2)] and meter.seconds_apart == 2
