"""TensorBoard, wandb, MLflow and Trackio: what a journal writes down is what each of them shows of the run."""

import json
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from accelerate import PartialState
from salmu_trackers.mlflow import MLflow
from salmu_trackers.tensorboard import TensorBoard
from salmu_trackers.trackio import Trackio
from salmu_trackers.wandb import Wandb

from salmu_core.contract.tracker import Facts
from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.study.trackers import load_tracker, parse_trackers
from salmu_core.testing import typed

FACTS = Facts(
    project="salmu-mini",
    group="gambler",
    name="gambler-b5-s0-abcdef",
    id="0123456789abcdef",
    path=Path("mini/gambler/abcdef/b5-s0"),
    config={"seed": 0, "budget": 5.0, "plugin": "salmu-gambler 1.0", "config.lr": 0.5},
)
STEPS = [{"train/R@1 (drawn)": 0.25, "train/half": 0.1}, {"train/R@1 (drawn)": 0.5, "train/half": 0.3}]
LEDGER = {"ledger/samples": 40.0, "ledger/seconds": 1.5}
METRICS = {"metrics/RetFail_R@1": 0.125, "metrics/GenKnow": 0.75}


def unlearn(tracker, folder, facts=FACTS, status="valid", reason=""):
    """A run as a study tells it: training, the ledger, how it ended."""
    journal = tracker.open(facts, folder, False)
    for step, values in enumerate(STEPS):
        journal.log(values, step)
    journal.log(LEDGER, None)
    journal.explain({"status": status} | ({"reason": reason} if reason else {}))
    journal.close("finished" if status == "valid" else "failed")


def score(tracker, folder):
    """Its metrics, later."""
    journal = tracker.open(FACTS, folder, True)
    journal.log(METRICS, None)
    journal.close("finished")


def events(folder):
    """What TensorBoard would show of a run: scalars with their steps, and texts."""
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard")
    reader = module.EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    reader.Reload()
    scalars = {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
    texts = {
        tag.removesuffix("/text_summary"): [e.tensor_proto.string_val[0].decode() for e in reader.Tensors(tag)]
        for tag in reader.Tags()["tensors"]
    }
    return scalars, texts


def rounded(points):
    """As float32, which is what TensorBoard keeps."""
    return [(step, float(np.float32(value))) for step, value in points]


def test_tensorboard_shows_what_it_is_told_and_a_run_made_again_replaces_it(tmp_path):
    tracker = TensorBoard()
    for _ in range(2):
        unlearn(tracker, tmp_path)
    score(tracker, tmp_path)
    scalars, texts = events(tmp_path / FACTS.path)
    for name in STEPS[0]:
        assert scalars.pop(name) == rounded([(step, values[name]) for step, values in enumerate(STEPS)])
    assert scalars == {name: rounded([(0, value)]) for name, value in (LEDGER | METRICS).items()}
    assert texts == {"status": ["valid"]}
    (settings,) = (tmp_path / FACTS.path).glob("*/hparams.yml")  # told once, though opened twice
    assert all(line in settings.read_text() for line in ("seed: 0", "budget: 5.0", "config.lr: 0.5"))
    assert tracker.hint(tmp_path, "salmu-mini") == f"tensorboard --logdir {tmp_path}"


def test_a_run_that_is_no_result_says_why(tmp_path):
    unlearn(TensorBoard(), tmp_path, status="crashed", reason="RuntimeError: [bold]inside[/]")
    assert events(tmp_path / FACTS.path)[1] == {"status": ["crashed"], "reason": ["RuntimeError: [bold]inside[/]"]}


def test_a_process_that_is_not_the_main_one_tracks_its_own_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(PartialState, "is_main_process", property(lambda self: False))
    monkeypatch.setattr(PartialState, "use_distributed", property(lambda self: True))
    unlearn(TensorBoard(), tmp_path)
    scalars, _ = events(tmp_path / FACTS.path)
    assert len(scalars["train/half"]) == 2 and "ledger/samples" in scalars


def test_workers_track_their_runs_and_the_study_says_where(tiny_benchmark, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    words = ["run", "finetuning", "--seed", "0-1", "--set", "finetuning.batch_size=8", "--processes", "2", "--json"]
    done = typed(tmp_path, *words, "--benchmark", tiny_benchmark, "--tracker", "tensorboard")
    assert done.returncode == 0, done.stderr
    assert "tensorboard --logdir runs/_trackers/tensorboard" in done.stderr
    rows = json.loads(done.stdout)["runs"]
    assert len(rows) == 2
    for row in rows:
        scalars, texts = events(tmp_path / "runs/_trackers/tensorboard" / Path(row["folder"]).relative_to("runs"))
        run = json.loads((tmp_path / row["folder"] / "run.json").read_text())
        assert texts == {"status": ["valid"]} and run["scalars"]
        for name, points in run["scalars"].items():
            assert scalars[f"train/{name}"] == rounded(points), name
        assert scalars["metrics/AssocStr"] == rounded([(0, row["metrics"]["AssocStr"])])


# Before anything begins


def test_each_is_found_by_its_name_and_absent_packages_are_named(monkeypatch):
    kinds = {"tensorboard": TensorBoard, "wandb": Wandb, "mlflow": MLflow, "trackio": Trackio}
    assert all(type(load_tracker(name)) is kind and kind.name == name for name, kind in kinds.items())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "mlflow" else object())
    assert parse_trackers(["tensorboard,trackio", " tensorboard"]) == ("tensorboard", "trackio")
    with pytest.raises(UnknownNameError, match="'wandb'"):
        parse_trackers(["wanbd"])
    with pytest.raises(UsageError, match="pip install mlflow"):
        parse_trackers(["tensorboard", "mlflow"])


def test_a_run_of_mlflows_that_is_going_on_is_not_added_to(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setenv("MLFLOW_RUN_ID", "1")
    for variable in MLflow.environment:
        monkeypatch.setenv(variable, "")
    with pytest.raises(UsageError, match="unset it"):
        MLflow().check()


def test_wandb_is_never_asked_into_a_terminal(monkeypatch):
    class Error(Exception):
        pass

    def login(**_):
        if sys.stdin.isatty():
            raise AssertionError("it would ask")
        raise Error("No API key configured.")

    for variable in Wandb.environment:
        monkeypatch.setenv(variable, "")
    terminal = types.SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    fake = types.SimpleNamespace(login=login, errors=types.SimpleNamespace(Error=Error))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(UsageError, match=r"No API key configured\. WANDB_MODE=offline"):
        Wandb().check()
    assert sys.stdin is terminal
    fake.login = lambda **_: True
    Wandb().check()


# With the real packages, where they are installed


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A folder and an environment of this test's own, with nothing that leads to a network."""
    monkeypatch.chdir(tmp_path)
    for variable in [*Wandb.environment, *MLflow.environment]:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_mlflow_keeps_all_of_a_run_in_one_run(alone):
    mlflow = pytest.importorskip("mlflow", reason="no mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{alone}/mlflow.db")
    tracker, folder = MLflow(), alone / "files"
    unlearn(tracker, folder)
    unlearn(tracker, folder, replace(FACTS, group="bad", id="bad"), "crashed", "RuntimeError: no")
    score(tracker, folder)
    runs = {
        run.data.tags["method"]: run for run in mlflow.search_runs(search_all_experiments=True, output_format="list")
    }
    assert len(runs) == 2
    good, bad = runs["gambler"], runs["bad"]
    assert good.info.status == "FINISHED" and good.data.tags["status"] == "valid"
    assert good.data.params["budget"] == "5.0"
    assert bad.info.status == "FAILED" and bad.data.tags["reason"] == "RuntimeError: no"
    history = mlflow.MlflowClient().get_metric_history(good.info.run_id, "train/R_1 _drawn_")
    assert [(point.step, point.value) for point in history] == [(0, 0.25), (1, 0.5)]
    assert good.data.metrics.items() >= LEDGER.items()
    assert good.data.metrics["metrics/RetFail_R_1"] == 0.125 and good.data.metrics["metrics/GenKnow"] == 0.75


def test_wandb_works_offline_and_quietly(alone, capfd):
    pytest.importorskip("wandb", reason="no wandb")
    assert parse_trackers(["wandb"]) == ("wandb",)
    unlearn(Wandb(), alone)
    score(Wandb(), alone)
    folders = sorted(path.name for path in (alone / "wandb").glob("offline-run-*"))
    assert len(folders) == 2 and len({name.rpartition("-")[2] for name in folders}) == 1
    assert "wandb" not in "".join(capfd.readouterr())


def test_trackio_keeps_all_of_a_run_in_one_run_and_is_quiet(alone, monkeypatch, capfd):
    monkeypatch.setenv("TRACKIO_DIR", str(alone / "trackio"))
    trackio = pytest.importorskip("trackio", reason="no trackio")
    unlearn(Trackio(), alone)
    score(Trackio(), alone)
    (run,) = trackio.Api().runs(FACTS.project)
    assert run.name == "gambler-b5-s0-abcdef-012345" and run.config["seed"] == 0 and run.config["_Group"] == "gambler"
    assert "Trackio" not in "".join(capfd.readouterr())
