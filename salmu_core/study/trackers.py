"""Experiment trackers by name: entry points of the group ``salmu.trackers``."""

from __future__ import annotations

from collections.abc import Iterable

from salmu_core.contract.tracker import Tracker
from salmu_core.plugins.named import TRACKERS, Named

_TRACKERS = Named(
    group=TRACKERS,
    base=Tracker,
    noun="tracker",
    option="--tracker",
    known=dict.fromkeys(("tensorboard", "wandb", "mlflow", "trackio"), "salmu-trackers"),
)


def parse_trackers(texts: Iterable[str]) -> tuple[str, ...]:
    """``["tensorboard,wandb"]`` as ``("tensorboard", "wandb")``; each once, and each fit to be used.

    Raises:
        UnknownNameError: No distribution brings such a tracker.
        UsageError: It can't be loaded, or says that it can't be used.
    """
    names = tuple(dict.fromkeys(part.strip() for text in texts for part in text.split(",")))
    for name in names:
        load_tracker(name).check()
    return names


def load_tracker(name: str) -> Tracker:
    """The installed tracker of a name.

    Raises:
        UnknownNameError: No distribution brings it.
        UsageError: It can't be loaded, or two distributions bring one of this name.
    """
    tracker: Tracker = _TRACKERS.make(name)
    return tracker
