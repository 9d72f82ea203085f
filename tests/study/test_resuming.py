"""A study that is killed, or asked to stop, goes on inside the run that it was making."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from salmu_core.clip.load import load_clip
from salmu_core.clip.weights import fingerprint
from salmu_core.errors import STOPPED, UsageError
from salmu_core.plugins.zoo import discover
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import Store, read_run
from salmu_core.study.asked import Study
from salmu_core.study.prepare import Options
from salmu_core.study.work import carry_out
from salmu_core.train.settings import Every

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
EACH = Every(steps=1)
#: So slow that there is time to interrupt it.
SLOW = """
import time
from salmu_core import MethodSpec, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss

def loss(ctx, step):
    time.sleep(0.1)
    return -contrastive_loss(ctx, step.forget)

@hookimpl
def salmu_methods():
    config = TrainingConfig.with_defaults(batch_size=4)
    return [MethodSpec(name="slow", summary="A test.", paper="https://example.org", config=config, loss=loss)]
"""


class Steps(Reporter):
    """Keeps which steps it was told of, and what was said."""

    def __init__(self):
        self.steps, self.said = [], []

    def step(self, done, of, values):
        self.steps.append(done)

    def say(self, text):
        self.said.append(text)


@pytest.fixture
def study(tiny, tmp_path, install, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    install("slow", SLOW)
    zoo = discover()
    handlers = signal.getsignal(signal.SIGTERM)

    def run(output, every=EACH):
        store, told = Store(tmp_path / output), Steps()
        asked = Study(benchmark=str(tiny), methods=("slow",), budgets=(2.0,))
        (work,) = carry_out(asked, {}, zoo, store, Options(processes=1, checkpoint_every=every), told)
        return store.folder(work.plan[0].key), told

    yield run
    signal.signal(signal.SIGTERM, handlers)


def interrupted(study, runs, number):
    """Exit code of a study that gets a signal once it has something new to go on from."""
    before, child = written(runs), os.fork()
    if not child:
        code = 1
        try:
            study("runs")
            code = 0
        except KeyboardInterrupt:
            code = STOPPED
        finally:
            os._exit(code)
    while written(runs) in (0, before):
        time.sleep(0.01)
    beneath = psutil.Process(child).children(recursive=True)
    os.kill(child, number)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    psutil.wait_procs(beneath, timeout=20)  # until then the run is theirs
    return code


def written(runs):
    """When something was last kept to go on from; what is kept comes and goes, and folders with it."""
    times = [0]
    for folder, _, names in os.walk(runs):
        if Path(folder).parent.name == "saves" and "save.json" in names:
            with suppress(FileNotFoundError):
                times.append(Path(folder, "save.json").stat().st_mtime_ns)
    return max(times)


def test_it_goes_on_where_it_was(study, tmp_path):
    whole, _ = study("whole")
    assert interrupted(study, tmp_path / "runs", signal.SIGTERM) == STOPPED
    assert interrupted(study, tmp_path / "runs", signal.SIGKILL) == -signal.SIGKILL
    folder, told = study("runs")
    ours, theirs = read_run(folder), read_run(whole)
    assert fingerprint(load_clip(folder).model) == fingerprint(load_clip(whole).model)
    assert told.steps[0] > 2, "two attempts have kept a step each"
    assert not any("interrupted" in text for text in told.said)
    facts = {"ledger", "started", "environment", "command", "seal"}
    assert ours.model_dump(exclude=facts) == theirs.model_dump(exclude=facts)
    assert ours.ledger.seconds >= 0.1 * ours.ledger.steps
    assert [p.name for p in folder.parent.iterdir() if ".work" in p.name] == []


def test_never_means_that_nothing_is_kept(study, tmp_path):
    study("runs", Every(0, 0))
    assert not [*tmp_path.glob("runs/**/*.work")]


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("10m", Every(600)),
        ("90s", Every(90)),
        ("2h", Every(7200)),
        ("1.5 m", Every(90)),
        ("500", Every(0, 500)),
        ("off", Every(0, 0)),
    ],
)
def test_how_often_is_a_time_or_a_number_of_steps(text, every):
    assert Study(checkpoint_every=text).every == every


@pytest.mark.parametrize("text", ["", "-1", "10y", "often", "1e3", "1.5"])
def test_anything_else_is_refused(text):
    with pytest.raises(UsageError, match="checkpoint-every"):
        _ = Study(checkpoint_every=text).every


def test_a_study_file_may_say_it_as_a_number():
    assert Study.model_validate({"checkpoint_every": 0}).every.never
