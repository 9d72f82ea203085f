"""Experiment trackers by name: entry points of the group ``salmu.trackers``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from importlib.metadata import entry_points

from salmu_core.contract.tracker import Tracker
from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.plugins.allowed import allowed, owner

GROUP = "salmu.trackers"
#: A distribution that brings several.
DISTRIBUTION = "salmu-trackers"


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
    points = set(allowed(entry_points(group=GROUP)))
    choice = sorted((point for point in points if point.name == name), key=lambda point: point.value)
    if not choice:
        hint = (
            ""
            if DISTRIBUTION in map(owner, points)
            else f"pip install {DISTRIBUTION} brings tensorboard, wandb, mlflow, trackio."
        )
        raise UnknownNameError("tracker", name, {point.name for point in points}, hint)
    if len(choice) > 1:
        values = " and ".join(point.value for point in choice)
        raise UsageError(f"--tracker {name}: {values} both want to be it; uninstall one of them.")
    try:
        tracker = choice[0].load()()
    except (Exception, SystemExit) as error:  # a plugin's code: anything can come out of it
        raise UsageError(f"--tracker {name} can't be used: {type(error).__name__}: {sentence(error)}") from error
    if not isinstance(tracker, Tracker):
        raise UsageError(f"--tracker {name} can't be used: {choice[0].value} is no class of salmu_core's Tracker.")
    return tracker


def sentence(error: BaseException) -> str:
    """What an exception says, on one line."""
    return textwrap.shorten(str(error), 250, placeholder=" ...").rstrip(".") + "."
