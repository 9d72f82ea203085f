"""Every wrapper that is installed, over every loss that is: it runs, and leaves weights that really differ."""

import math

import pytest
import torch
from accelerate import Accelerator

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.plugins.zoo import discover
from salmu_core.run.runner import run_one
from salmu_core.run.session import TrainingSession
from salmu_core.testing.settings import settings_of

METHODS = discover().methods
WRAPPERS = [name for name, method in METHODS.items() if method.over]
#: A wrapper, and a loss of which it takes everything away: the batch of 4 has no pair that `orthograd` leaves out.
NOTHING_LEFT = {("gu", "finetuning"), ("orthograd", "finetuning")}
LOSSES = [name for name, method in METHODS.items() if method.facts["loss"]]


@pytest.fixture(scope="module")
def session(tiny):
    return TrainingSession.open(open_benchmark(str(tiny), discover(()), lambda *_: None), Accelerator(cpu=True))


def test_there_are_both():
    assert {"salun", "slug", "lora"} <= set(WRAPPERS) and {"cliperase", "direct-similarity"} <= set(LOSSES)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_it_runs_and_changes_the_weights(wrapper, loss, session):
    spec = METHODS[wrapper].spec
    config = settings_of(spec, batch_size=4, loss=loss)
    outcome = run_one(spec, config, 0.5, 0, session, Accelerator(cpu=True))
    if (wrapper, loss) in NOTHING_LEFT:
        assert outcome.status == "unchanged" and outcome.ledger.steps
        return
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    before = dict(session.clip.model.named_parameters())
    moved = torch.stack([(p - before[n]).detach().square().sum() for n, p in outcome.model.named_parameters()]).sum()
    whole = torch.stack([p.detach().square().sum() for p in before.values()]).sum()
    assert math.sqrt(float(moved / whole)) > 1e-6, "all but the weights it began with"
