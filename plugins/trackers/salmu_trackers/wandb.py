"""Weights & Biases: it would ask for a key, print over the progress, and wait for a network as long as it takes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from salmu_core.contract.tracker import End, Facts, Journal
from salmu_core.errors import UsageError
from salmu_core.plugins.named import sentence
from salmu_trackers.adapter import Accelerated, AcceleratedJournal, begun

#: What its steps are kept as; transformers calls it so too.
STEP = "train/global_step"
#: What wandb takes for an interrupt.
INTERRUPTED = 255


class WandbJournal(AcceleratedJournal):
    """A run of wandb's."""

    def log(self, values: Mapping[str, float], step: int | None) -> None:
        """See `Journal`."""
        # As a value: wandb's own steps may never go back, and what is logged at an earlier one is dropped.
        self.tracker.log({**values, **({} if step is None else {STEP: step})})

    def close(self, end: End) -> None:
        """See `Journal`."""
        # accelerate's finish() says that all went well.
        self.tracker.tracker.finish(exit_code={"finished": 0, "failed": 1, "stopped": INTERRUPTED}[end])
        self.tracker.finish()


class Wandb(Accelerated):
    """`--tracker wandb`."""

    name = "wandb"
    packages = ("wandb",)
    environment: Mapping[str, str] = {
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
        "WANDB_FINISH_TIMEOUT": "120",
        "WANDB_FINISH_TIMEOUT_RAISES": "true",
    }
    place = "on your W&B server; what is kept offline, after wandb sync"

    def check_settings(self) -> None:
        """See `Accelerated`."""
        try:
            import wandb
        except ImportError as error:  # it is there, but what it needs is not
            raise UsageError(f"--tracker wandb: the package can't be imported: {sentence(error)}") from error
        terminal, sys.stdin = sys.stdin, io.StringIO()  # no terminal, no question
        try:
            wandb.login(verify=False)
        except wandb.errors.Error as error:
            raise UsageError(
                f"--tracker wandb: {sentence(error)} WANDB_MODE=offline keeps everything on this machine."
            ) from error
        finally:
            sys.stdin = terminal

    def begin(self, kind: Any, facts: Facts, folder: Path, again: bool) -> Journal:
        """See `Accelerated`."""
        tracker = kind(
            os.environ.get("WANDB_PROJECT", facts.project),
            id=facts.id,
            name=facts.name,
            group=facts.group,
            config=facts.config,
            resume="allow" if again else "never",
        )
        begun(tracker, None).tracker.define_metric("train/*", step_metric=STEP)
        return WandbJournal(tracker)
