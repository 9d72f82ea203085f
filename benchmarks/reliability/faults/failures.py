"""The n-th system call of a study fails, as on a full or broken disk; then the study is begun again."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from random import Random

from faults.calls import ERRORS, Nth, failing
from faults.subject import RUNS, Subject, halves
from faults.tallies import Trial
from faults.trials import Ended, orphans


def loop(subject: Subject, rng: Random, count: int) -> Iterator[Trial]:
    """Each kind of call and error in turn, at any of the calls that the study makes; more often of results than not."""
    made = [call for call in subject.calls[0] if not call.done]
    kinds = [(name, code) for name, codes in ERRORS.items() for code in codes if name in {call.name for call in made}]
    rng.shuffle(kinds)
    for number in range(count):
        name, code = kinds[number % len(kinds)]
        with subject.place() as place:
            same = [call.path for call in made if call.name == name]
            results = [i for i, path in enumerate(same) if f"/{RUNS}" in path]
            chosen = rng.choice(results) if results and rng.random() < 0.7 else rng.randrange(len(same))
            nth = Nth([name], chosen + 1, failing(code))
            ended = subject.run(place, nth)
            nth.close()
            yield judged(subject, place, ended, f"{name} fails with {errno.errorcode[code]}", f"{name} {nth.number}")


def judged(subject: Subject, place: Path, ended: Ended, fault: str, where: str, named: bool = True) -> Trial:
    """What comes of a study in the end whose disk failed once.

    Args:
        where: To have it again.
        named: Whether what it says must name a file.
    """
    wrong = [f"{where}: {half}" for half in [*halves(place), *map(str, orphans(place))]]
    if ended.code is None:
        outcome = "hangs"
    elif "Traceback (most recent call last)" in ended.text:
        outcome = "traceback"
    elif ended.code == 0:
        outcome = "survived"
        wrong += [f"{where}: exit 0, but {fault}" for fault in subject.faults(place)]
    else:
        told = any(root in ended.text for root in (str(subject.work), f"{RUNS}/"))
        outcome = "a sentence with the file" if told else "a sentence without the file"
    if outcome in ("hangs", "traceback", *["a sentence without the file"] * named):
        wrong.append(f"{where}: {outcome}: {ended.sentence}")
    again = subject.run(place)
    if again.code != 0:
        wrong.append(f"{where}: begun again, it ends with {again.code}: {again.sentence}")
    wrong += [f"{where}: begun again, {fault}" for fault in subject.faults(place)]
    return Trial(fault, outcome, "; ".join(wrong[:5]))
