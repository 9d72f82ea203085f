"""Runs that are killed and made again."""

import random

import pytest
from accelerate import Accelerator

from salmu_core import MethodSpec, TrainingConfig, WrapperConfig
from salmu_core.clip.weights import fingerprint
from salmu_core.losses import contrastive_loss
from salmu_core.run.runner import run_one
from salmu_core.run.saves import Saves
from salmu_core.testing.settings import settings_of
from salmu_core.train.observer import Observer
from salmu_core.train.settings import Every

FACTS = {"name": "a-method", "summary": "A test.", "paper": "https://example.org"}
CONFIG = {"batch_size": 4, "lr": 1e-3}
BUDGET = 2.5
EACH = Every(steps=1)
SEED = random.randrange(10**6)
print(f"interrupted at steps drawn by random.Random({SEED})")


def slow(*values):
    """Parameters of a test that is made now and then."""
    return pytest.param(*values, marks=pytest.mark.slow)


class Killed(KeyboardInterrupt):
    """Ends a run at once, wherever it is: what it has not written by then is lost."""


LOSS = MethodSpec(**FACTS, loss=lambda ctx, step: -contrastive_loss(ctx, step.forget))


class Attempts:
    """Runs of one method, some of which are killed.

    Args:
        spec: The method.
        session: Its data.
        folder: Where saves lie.
    """

    def __init__(self, spec, session, folder, every=EACH):
        self.spec, self.session, self.every, self.folder = spec, session, every, folder
        self.told, self.steps = [], 0
        given = CONFIG if issubclass(spec.config, TrainingConfig) else {}
        self.config = settings_of(spec, **({"settings": CONFIG} if issubclass(spec.config, WrapperConfig) else given))

    def run(self, kill_at=None, saves=None, **changes):
        """One attempt, killed after so many steps of its own."""
        self.steps = 0

        def on_step(done, count, values):
            self.steps += 1
            if self.steps == kill_at:
                raise Killed

        given = {"budget": BUDGET, "seed": 0, **changes}
        config = given.pop("config", self.config)
        return run_one(
            given.pop("spec", self.spec), config, session=self.session, accelerator=Accelerator(cpu=True),
            observer=Observer(on_step=on_step), saves=saves or self.saves(), **given,
        )  # fmt: skip

    def saves(self, **more):
        return Saves(self.folder, self.every, say=self.told.append, **more)

    def whole(self):
        """A run that nobody interrupts and that keeps nothing."""
        return run_one(self.spec, self.config, BUDGET, 0, self.session, Accelerator(cpu=True))

    def killed(self, at):
        with pytest.raises(Killed):
            self.run(at)


def record(outcome):
    """Everything of an outcome but seconds and memory."""
    ledger = outcome.ledger.model_copy(update={"seconds": 0.0, "peak_memory_bytes": 0})
    state = {name: value.tolist() for name, value in outcome.state.items()}
    assert outcome.status == "valid", outcome.traceback
    facts = outcome.status, outcome.reason, outcome.fits, outcome.scalars, outcome.micro_batch, state
    return fingerprint(outcome.model), ledger, *facts
