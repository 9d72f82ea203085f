"""A study is killed, at every rename or at any moment, and begun again."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from random import Random

from faults.calls import Call, Heard, Nth
from faults.subject import Subject, halves
from faults.tallies import Trial
from faults.trials import (
    Ended,
    Kill,
    interrupt_all,
    kill_all,
    kill_first,
    kill_one_of_its,
    orphans,
    terminate_first,
)
from salmu_core.errors import STOPPED

WHOM: dict[str, Callable[[Path, int], None]] = {
    "kill -9 of all processes": kill_all,
    "kill -9 of the process that was started": kill_first,
    "kill -9 of a process that it has started": kill_one_of_its,
    "SIGTERM": terminate_first,
    "Ctrl-C": interrupt_all,
}


def loop(subject: Subject, rng: Random, count: int) -> Iterator[Trial]:
    """Half of the kills at a rename, just before or just after it, all renames in turn; half at any moment."""
    calls, seconds = subject.calls
    renames = Counter(call.done for call in calls if call.name == "rename")
    moments = [(number + 1, after) for after in renames for number in range(renames[after])]
    chosen = rng.sample(moments, min(len(moments), (count + 1) // 2))
    for number, after in chosen:
        with subject.place() as place:
            ended = killed(subject, place, ["rename"], number, after)
            when = f"just {'after' if after else 'before'} a rename"
            yield _resumed(subject, place, ended, f"kill -9 of all processes, {when}")
    for number in range(count - len(chosen)):
        whom = [*WHOM][number % len(WHOM)]
        with subject.place() as place:
            ended = subject.run(place, kill=Kill(rng.uniform(0, seconds), WHOM[whom]))
            yield _resumed(subject, place, ended, f"{whom}, at any moment")


def killed(
    subject: Subject, place: Path, names: Collection[str], number: int, after: bool, heard: Heard | None = None
) -> Ended:
    """Make a study of which every process is killed at the n-th call of some names.

    Args:
        names: Keys of `faults.calls.ERRORS`.
        after: Whether once the call has succeeded, rather than before.
        heard: Is told of each call before that.
    """
    nth = Nth(names, number, lambda call: kill_all(place, os.getpid()), after)

    def both(call: Call) -> None:
        if heard is not None:
            heard(call)
        nth(call)

    ended = subject.run(place, both)
    nth.close()
    return ended


def _resumed(subject: Subject, place: Path, ended: Ended, fault: str) -> Trial:
    """What comes of a study in the end that was killed, or asked to stop."""
    left = orphans(place)
    wrong = [f"process {number} outlives its study" for number in left] + halves(place)
    if ended.code not in (0, STOPPED, -signal.SIGKILL):
        wrong.append(f"it ends with {ended.code}: {ended.sentence}")
    if "Traceback" in ended.text:
        wrong.append(f"a traceback: {ended.sentence}")
    resumed = subject.run(place)
    if resumed.code != 0:
        wrong.append(f"begun again, it ends with {resumed.code}: {resumed.sentence}")
    wrong += subject.faults(place)
    outcome = "ended all the same" if ended.code == 0 else "resumed"
    return Trial(fault, "not the same" if wrong else f"{outcome}, same", "; ".join(wrong[:5]))
