"""What it costs that nothing is lost and nothing believed unchecked: a warm study, against a checkout before that.

`salmu run --all` with everything in the cache that it looks for there, built worlds too, and then `salmu results` of
what it made. The first round, which does not count, fills the caches.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from figures import Figure, in_turn, ratio, spread
from sides import Asked
from study import command, run_study


def measure(asked: Asked) -> Iterator[Figure]:
    """A warm study, and a look at it."""
    study = ["run", "--benchmark", asked.benchmark]
    study += ["delete", "finetuning", "--budget", "1"] if asked.quick else ["--all"]
    folders = {name: asked.work / f"warm-{name}" for name in asked.checkouts}
    sides = asked.checkouts.items()
    running = {name: partial(run_study, checkout, study, folders[name]) for name, checkout in sides}
    yield from _held_against("`salmu run --all`, warm", in_turn(running, 1 if asked.quick else 3), asked, at_most=8)
    looking = {name: partial(command, checkout, ["results", "--output", folders[name]]) for name, checkout in sides}
    yield from _held_against("`salmu results` of it", in_turn(looking, 1 if asked.quick else 7), asked)


def _held_against(what: str, costs: dict[str, list[float]], asked: Asked, **aim: float) -> Iterator[Figure]:
    yield spread(what, costs["this"], unit="s")
    if asked.against:
        yield ratio(what, "the same there", costs, ("this", "against"), more=True, **aim)
