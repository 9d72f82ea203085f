"""Runs of methods that are a function of a test."""

from salmu_core import MethodSpec, TrainingConfig
from salmu_core.losses import contrastive_loss
from salmu_core.testing import run_method

FACTS = {"name": "a-method", "summary": "A test.", "paper": "https://example.org"}
SMALL = {"batch_size": 8, "lr": 1e-3}


def run(tiny, unlearn, *, budget=2, seed=0, config=TrainingConfig, **settings):
    """Run a method given by its function; its exceptions are the test's."""
    spec = MethodSpec(**FACTS, unlearn=unlearn, config=config)
    settings = {**SMALL, **settings} if config is TrainingConfig else settings
    outcome, session = run_method(spec, tiny, budget=budget, seed=seed, **settings)
    assert outcome.traceback is None, outcome.traceback
    return outcome, session


def loss(ctx, step):
    return contrastive_loss(ctx, step.forget) + contrastive_loss(ctx, step.retain)
