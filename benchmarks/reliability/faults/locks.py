"""Several studies at once in one folder and with one cache, where every lock is granted to everybody."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from faults.subject import RUNS, Subject, halves
from faults.tallies import Trial
from faults.trials import forked, orphans, salmu


def loop(subject: Subject, rng: Random, count: int) -> Iterator[Trial]:
    """In turn: with locks that lie and one results folder, with a folder each, and with locks that work."""
    kinds = [(True, False), (True, True), (False, False)]
    for number in range(count):
        lying, own = kinds[number % len(kinds)]
        yield at_once(subject, 2 + rng.randint(0, 1) * (count > len(kinds)), lying, own)


def at_once(subject: Subject, studies: int, lying: bool, own: bool) -> Trial:
    """So many studies at once on a cold cache."""
    with subject.place() as place:
        return _at_once(subject, place, studies, lying, own)


def _at_once(subject: Subject, place: Path, studies: int, lying: bool, own: bool) -> Trial:
    outputs = [RUNS if number == 0 or not own else f"runs-{number}" for number in range(studies)]

    def together() -> int:
        if lying:
            fcntl.flock = _granted
        children = []
        for number, output in enumerate(outputs):
            if (child := os.fork()) == 0:
                _write_to(Path(f"said-{number}.txt"))
                os._exit(salmu(subject.command(output=output)))
            children.append(child)
        return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 255 for child in children)

    ended = forked(place, together)
    where = "a results folder each" if own else "one results folder"
    fault = f"{studies} studies at once, {where}, locks {'granted to everybody' if lying else 'that work'}"
    said = [(place / f"said-{number}.txt").read_text(encoding="utf-8") for number in range(studies)]
    wrong = [f"a process is left: {number}" for number in orphans(place)] + halves(place)
    wrong += [text.strip().splitlines()[-1] for text in said if "Traceback" in text]
    if ended.code is None:
        wrong.append("they hang")
    if ended.code != 0 and lying and own:
        wrong.append(f"exit code {ended.code}")
    # Who left a run to the other, or met it in one scratch folder, has a table with gaps, and says so.
    if ended.code not in (0, None):
        again = subject.run(place)
        wrong += [] if again.code == 0 else [f"begun again, it ends with {again.code}: {again.sentence}"]
    wrong += subject.faults(place)
    return Trial(fault, "not the same" if wrong else "same", "; ".join(wrong[:5]))


def _granted(_: Any, __: int) -> None:
    """Any lock, to anybody."""


def _write_to(path: Path) -> None:
    import sys

    written = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    sys.stdout.flush()
    os.dup2(written, 1)
    os.dup2(written, 2)
