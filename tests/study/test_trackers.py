"""Experiment trackers: what they are told is what the results say, and they change nothing."""

import json
import random
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator, PartialState, tracking
from sources import method

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.plugins import discover
from salmu_core.run import meter as meter_module
from salmu_core.run.meter import Meter
from salmu_core.store.folders import Store, read_run
from salmu_core.store.records import RetainRef
from salmu_core.study.execution import Execution
from salmu_core.study.plan import Study, make_plan
from salmu_core.study.reporter import Silent
from salmu_core.study.tracker_kinds import TRACKERS, parse_trackers
from salmu_core.study.tracking import Trackers, facts_of

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


class Listener(tracking.GeneralTracker):
    """Keeps what it is told: (what, content, step)."""

    name = "listener"
    requires_logging_directory = False

    def __init__(self, project):
        super().__init__()
        self.told.append(("open", project, None))

    @property
    def tracker(self):
        return self.told

    def start(self):
        _draw()

    def store_init_configuration(self, values):
        self.told.append(("config", values, None))

    def log(self, values, step=None):
        _draw()
        self.told.append(("log", values, step))

    def finish(self):
        _draw()
        self.told.append(("close", None, None))


def _draw():
    random.random(), np.random.rand(), torch.rand(())


@pytest.fixture
def register(monkeypatch):
    """accelerate's own way to make a tracker known, undone afterwards."""
    monkeypatch.setattr(tracking, "LOGGER_TYPE_TO_CLASS", dict(tracking.LOGGER_TYPE_TO_CLASS))
    return tracking.register_tracker_class


@pytest.fixture
def told(register, monkeypatch):
    """What `Listener` is told."""
    monkeypatch.setattr(Listener, "told", [], raising=False)
    register(Listener)
    return Listener.told


@pytest.fixture
def carry_out(tiny, tmp_path):
    """Carry out a study in this process; returns its store and plan."""
    accelerator, zoo = Accelerator(cpu=True), None

    def run(*methods, trackers=(), out="runs", unlearn=True, score=True, say=print, config=None):
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
            Silent(),
            redo=True,
            trackers=Trackers(trackers, store.root, say),
        )
        if unlearn:
            execution.unlearn(plan)
        if score:
            execution.score(plan, [])
        return store, plan

    return run


def records(store, plan):
    """``run.json`` and, if there are any, the values of ``metrics.json`` of each run."""
    for planned in plan:
        folder = store.folder(planned.key)
        run, metrics = read_run(folder), folder / "metrics.json"
        values = {}
        if metrics.is_file():
            values = {k: v for e in json.loads(metrics.read_text())["metrics"].values() for k, v in e["values"].items()}
        yield folder, run, values


def events(store, planned):
    """What TensorBoard would show of a run: scalars with their steps, and texts."""
    found = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard")
    folder = store.root / "_trackers" / "tensorboard" / planned.key.path
    read = found.EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    read.Reload()
    scalars = {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    texts = {
        tag.removesuffix("/text_summary"): [e.tensor_proto.string_val[0].decode() for e in read.Tensors(tag)]
        for tag in read.Tags()["tensors"]
    }
    return scalars, texts


def rounded(points):
    """As float32, which is what TensorBoard keeps."""
    return [(step, float(np.float32(value))) for step, value in points]


def ledger(run):
    return {f"ledger/{name}": value for name, value in run.ledger.model_dump().items()}


def test_tensorboard_shows_what_the_records_say_and_changes_no_bit(carry_out, install):
    install("gambler", method("gambler", GAMBLER))
    config = {"finetuning": {"batch_size": 4}}
    plain, plan = carry_out("finetuning", "gambler", out="plain", config=config)
    store, plan = carry_out("finetuning", "gambler", trackers=["tensorboard"], config=config)
    for planned, (folder, run, metrics), (other, *_) in zip(
        plan, records(store, plan), records(plain, plan), strict=True
    ):
        scalars, texts = events(store, planned)
        assert run.scalars and metrics
        for name, points in run.scalars.items():
            assert scalars.pop(f"train/{name}") == rounded(points), name
        for name, value in [*ledger(run).items(), *((f"metrics/{k}", v) for k, v in metrics.items())]:
            assert scalars.pop(name) == rounded([(0, value)]), name
        assert scalars == {} and texts == {"status": ["valid"]}
        for file in (WEIGHTS, "per_row.parquet"):
            assert (folder / file).read_bytes() == (other / file).read_bytes(), file
    assert store.benchmarks() == plain.benchmarks() == [plan[0].key.benchmark]
    assert len(list(store.runs(plan[0].key.benchmark))) == 2 and not list(store.runs("_trackers"))


def test_tensorboard_keeps_the_settings(carry_out):
    pytest.importorskip("tensorboard")
    store, (planned,) = carry_out("descent-to-delete", trackers=["tensorboard"], score=False)
    (file,) = (store.root / "_trackers/tensorboard" / planned.key.path).glob("*/hparams.yml")
    kept = file.read_text()
    assert "seed: 0" in kept and "budget: 5.0" in kept and "plugin: salmu-descent-to-delete" in kept
    assert all(
        f"config.{field}: " in kept for field in planned.config.model_fields_set | set(planned.config.model_dump())
    )


def test_a_run_that_is_made_again_replaces_what_was_tracked_of_it(carry_out, install):
    install("gambler", method("gambler", GAMBLER))
    for _ in range(2):
        store, (planned,) = carry_out("gambler", trackers=["tensorboard"], score=False)
    scalars, texts = events(store, planned)
    assert [step for step, _ in scalars["train/half"]] == [0, 1, 2] and texts == {"status": ["valid"]}


def test_metrics_come_into_the_same_run_later_and_by_somebody_else(carry_out, install):
    install("gambler", method("gambler", GAMBLER))
    carry_out("gambler", trackers=["tensorboard"], score=False)
    store, (planned,) = carry_out("gambler", trackers=["tensorboard"], unlearn=False)
    scalars, _ = events(store, planned)
    assert len(scalars["train/half"]) == 3 and len(scalars["metrics/GenKnow"]) == 1
    assert len(list((store.root / "_trackers/tensorboard" / planned.key.path).glob("*/hparams.yml"))) == 1


def test_while_methods_run_nothing_but_training_scalars_is_told(carry_out, install, told):
    install("gambler", method("gambler", GAMBLER))
    install("other", method("other", GAMBLER))
    plain, _ = carry_out("gambler", "other", out="plain", score=False)
    store, plan = carry_out("gambler", "other", trackers=["listener"])
    kinds = [next(iter(content)).partition("/")[0] if what == "log" else what for what, content, _ in told]
    run = ["open", "config", "train", "train", "train", "ledger", "status", "close"]
    assert kinds == [*run, *run, *["open", "config", "metrics", "close"] * 2]
    # What the listener drew in between shows nowhere.
    for planned in plan:
        one, two = (each.folder(planned.key) / WEIGHTS for each in (plain, store))
        assert one.read_bytes() == two.read_bytes()
    # The values of one step are told together.
    assert [(set(content), step) for what, content, step in told if what == "log"][:3] == [
        ({"train/R@1 (drawn)", "train/half"}, step) for step in range(3)
    ]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [("raise RuntimeError('[bold]inside[/]')", "crashed", "RuntimeError: [bold]inside[/]"), ("pass", "unchanged", "")],
)
def test_a_run_that_is_no_result_says_why(carry_out, install, body, status, reason):
    install("bad", method("bad", body))
    store, (planned,) = carry_out("bad", trackers=["tensorboard"])
    scalars, texts = events(store, planned)
    ((_, run, _),) = records(store, [planned])
    assert texts == {"status": [status], "reason": [run.reason]} and reason in run.reason
    assert not any(name.startswith("metrics/") for name in scalars)


def test_an_interrupt_closes_the_run_everywhere(carry_out, install, told):
    install("stopped", method("stopped", "ctx.log('x', 1.0)\nraise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        carry_out("stopped", trackers=["listener"])
    assert told[-3:] == [
        ("log", {"train/x": 1.0}, 0),
        ("log", {"status": "stopped", "reason": "interrupted"}, None),
        ("close", None, None),
    ]


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("__init__", RuntimeError("no network")),
        ("start", RuntimeError("no network")),
        ("store_init_configuration", RuntimeError("no network")),
        ("log", RuntimeError("no network")),
        ("log", SystemExit("no network")),
        ("finish", RuntimeError("no network")),
    ],
)
def test_a_tracker_that_fails_is_said_once_and_harms_nobody(carry_out, install, register, told, where, error):
    install("gambler", method("gambler", GAMBLER))
    install("other", method("other", GAMBLER))
    calls, said = [], []

    def fail(self, *args, **kwargs):
        _draw()
        calls.append(where)
        raise error

    register(type("Broken", (Listener,), {"name": "broken", "told": [], where: fail}))
    plain, _ = carry_out("gambler", "other", out="plain", score=False)
    store, plan = carry_out("gambler", "other", trackers=["broken", "listener"], say=said.append)
    (sentence,) = said
    assert all(word in sentence for word in ("gambler", "broken", type(error).__name__, "no network"))
    assert calls == [where]
    assert [what for what, *_ in told].count("open") == [what for what, *_ in told].count("close") == 4
    for (folder, run, metrics), (other, same, _) in zip(records(store, plan), records(plain, plan), strict=True):
        assert run.status == "valid" and run.scalars == same.scalars and metrics
        assert (folder / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()


def test_a_process_that_is_not_the_main_one_tracks_its_own_runs(carry_out, install, monkeypatch):
    install("gambler", method("gambler", GAMBLER))
    monkeypatch.setattr(PartialState, "is_main_process", property(lambda self: False))
    monkeypatch.setattr(PartialState, "use_distributed", property(lambda self: True))
    store, (planned,) = carry_out("gambler", trackers=["tensorboard"])
    scalars, _ = events(store, planned)
    assert len(scalars["train/half"]) == 3 and "metrics/GenKnow" in scalars


def test_workers_track_their_runs_and_the_study_says_where(salmu, tiny):
    pytest.importorskip("tensorboard")
    names = ("finetuning", "negative-gradient")
    settings = [word for name in names for word in ("--set", f"{name}.batch_size=8")]
    words = ("run", *names, *settings, "--benchmark", tiny, "--processes", "2", "--json")
    done = salmu(*words, "--tracker", "tensorboard")
    assert done.returncode == 0, done.stderr
    assert "tensorboard --logdir runs/_trackers/tensorboard" in done.stderr
    rows = json.loads(done.stdout)["runs"]
    assert len(rows) == 2
    for row in rows:
        key = types.SimpleNamespace(path=Path(row["folder"]).relative_to("runs"))
        scalars, texts = events(Store(salmu.folder / "runs"), types.SimpleNamespace(key=key))
        assert texts == {"status": ["valid"]} and scalars["train/loss"]
        assert scalars["metrics/AssocStr"] == rounded([(0, row["metrics"]["AssocStr"])])


def test_time_spent_on_trackers_is_not_the_methods(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(meter_module.time, "perf_counter", lambda: next(clock))
    heard = []
    meter = Meter(1, 10, lambda *scalar: heard.append(scalar))
    meter.log("x", 0.5, 1)
    meter.log("x", 0.25, 2)
    assert heard == [("x", 0.5, 1), ("x", 0.25, 2)] and meter.telling == 2


def test_every_run_has_a_name_and_an_identity_of_its_own(tiny):
    zoo = discover()

    def facts(benchmark="mini", started="2026-01-01T00:00:00+00:00", seed=0, **settings):
        study = Study(methods=("cliperase",), seeds=(seed,), config={"cliperase": settings} if settings else {})
        (planned,) = make_plan(study, benchmark, zoo, {})
        return facts_of(planned, started, "salmu-cliperase 1.0", RetainRef())

    first, second = facts(), facts("mini@3")
    assert first.project == second.project == "salmu-mini" and first.group == "cliperase"
    assert (first.config["world"], second.config["world"]) == (0, 3) and second.config["benchmark"] == "mini"
    assert first == facts()
    others = [first, second, facts(started="2026-01-01T00:00:01+00:00"), facts(seed=1), facts(lr=0.5)]
    assert len({each.id for each in others}) == 5
    assert len({each.name for each in others}) == 4  # made again, it is the same to people
    assert facts(lr=0.5).config["config.lr"] == 0.5


def test_names_are_parsed_and_absent_packages_are_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "mlflow" else object())
    assert parse_trackers(["tensorboard,trackio", " tensorboard"]) == ("tensorboard", "trackio")
    assert parse_trackers([]) == ()
    with pytest.raises(UnknownNameError, match="'wandb'"):
        parse_trackers(["wanbd"])
    with pytest.raises(UsageError, match="pip install mlflow"):
        parse_trackers(["tensorboard", "mlflow"])


def test_wandb_is_never_asked_into_a_terminal(monkeypatch):
    class Error(Exception):
        pass

    def login(**_):
        if sys.stdin.isatty():
            raise AssertionError("it would ask")
        raise Error("No API key configured.")

    for variable in TRACKERS["wandb"].environment:
        monkeypatch.setenv(variable, "")
    terminal = types.SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    fake = types.SimpleNamespace(login=login, errors=types.SimpleNamespace(Error=Error))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(UsageError, match=r"No API key configured\. WANDB_MODE=offline"):
        parse_trackers(["wandb"])
    assert sys.stdin is terminal
    fake.login = lambda **_: True
    assert parse_trackers(["wandb"]) == ("wandb",)


# With the real packages, where they are installed


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A folder and an environment of this test's own, with nothing that leads to a network."""
    monkeypatch.chdir(tmp_path)
    for name in TRACKERS:
        for variable in TRACKERS[name].environment:
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


def test_mlflow_keeps_all_of_a_run_in_one_run(carry_out, install, alone):
    mlflow = pytest.importorskip("mlflow", reason="no mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{alone}/mlflow.db")
    install("gambler", method("gambler", GAMBLER))
    install("bad", method("bad", "raise RuntimeError('no')"))
    store, plan = carry_out("gambler", "bad", trackers=["mlflow"])
    found = {
        run.data.tags["method"]: run for run in mlflow.search_runs(search_all_experiments=True, output_format="list")
    }
    assert len(found) == 2
    (_, run, metrics), _ = records(store, plan)
    good, bad = found["gambler"], found["bad"]
    assert (
        good.info.status == "FINISHED" and good.data.tags["status"] == "valid" and good.data.params["budget"] == "5.0"
    )
    assert bad.info.status == "FAILED" and bad.data.tags["reason"] == "RuntimeError: no"
    history = mlflow.MlflowClient().get_metric_history(good.info.run_id, "train/R_1 _drawn_")
    assert [(point.step, point.value) for point in history] == run.scalars["R@1 (drawn)"]
    assert good.data.metrics.items() >= ledger(run).items()
    assert good.data.metrics["metrics/RetFail_R_1"] == metrics["RetFail_R@1"]
    assert good.data.metrics["metrics/GenKnow"] == metrics["GenKnow"]


def test_wandb_works_offline_and_quietly(carry_out, install, alone, capfd):
    pytest.importorskip("wandb", reason="no wandb")
    assert parse_trackers(["wandb"]) == ("wandb",)
    install("gambler", method("gambler", GAMBLER))
    said = []
    carry_out("gambler", trackers=["wandb"], say=said.append)
    assert said == []
    folders = sorted(path.name for path in (alone / "wandb").glob("offline-run-*"))
    assert len(folders) == 2 and len({name.rpartition("-")[2] for name in folders}) == 1
    assert "wandb" not in "".join(capfd.readouterr())


def test_trackio_keeps_all_of_a_run_in_one_run_and_is_quiet(carry_out, install, alone, monkeypatch, capfd):
    monkeypatch.setenv("TRACKIO_DIR", str(alone / "trackio"))
    trackio = pytest.importorskip("trackio", reason="no trackio")
    install("gambler", method("gambler", GAMBLER))
    said = []
    _, (planned,) = carry_out("gambler", trackers=["trackio"], say=said.append)
    assert said == []
    (run,) = trackio.Api().runs(f"salmu-{planned.key.benchmark}")
    assert run.name.startswith("gambler-b5-s0-") and run.config["seed"] == 0 and run.config["_Group"] == "gambler"
    assert "Trackio" not in "".join(capfd.readouterr())
