"""Spoils every kind of file that is read, many times; what came of it goes to ``docs/data/reliability-fuzz.json``.

    python benchmarks/reliability/fuzz.py                       a hundred thousand files, as every night
    python benchmarks/reliability/fuzz.py --count 500 --seed 3 --out X
    python benchmarks/reliability/fuzz.py --only "a study file" --out X

A file must be read, or refused in a sentence. What is an error of Python, takes longer than `PATIENCE`, or more than
`MEMORY` beyond what the process had, should not have been: it is printed, with what brings it again, and exit code 1.
The work is done in forked processes, of which one that ends or hangs is told and replaced.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import secrets
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.append(str(Path(__file__).parents[1] / "speed"))

from faults.subject import RUNS, Subject
from faults.tallies import Line, Part, Reliability, Trial
from faults.trials import warm
from figures import ROOT, commit
from readers import Reader, readers, spoiled

DATA = ROOT / "docs" / "data" / "reliability-fuzz.json"
COUNT = 100_000
#: Seconds that reading one file may take, and bytes.
PATIENCE, MEMORY = 30, 4 << 30
#: Files that one process spoils before the next is forked.
BATCH = 2_000
SPOILED = "a spoiled file: "


class Hung(BaseException):
    """Reading took too long."""


def trial(name: str, reader: Reader, whole: bytes, seed: str) -> Trial:
    """Spoil a file in the way of a seed, have it read, and put it back."""
    from salmu_core.errors import SalmuError

    reader.file.write_bytes(spoiled(whole, Random(seed)))
    begun, fault = time.monotonic(), SPOILED + name
    try:
        with warnings.catch_warnings(record=True) as said:
            reader.read()
        outcome = "read"
    except SalmuError as error:
        said = []
        outcome = "refused in a sentence"
        if "<_io" in str(error) or "no reason given" in str(error):
            return Trial(fault, "a sentence that says nothing", f"{seed}: {error!r}")
    except Hung:
        return Trial(fault, "hangs", f"{seed}: over {PATIENCE} s")
    except OSError as error:
        said = []
        outcome = "told as an error of the disk"
        if not error.filename and str(reader.file) not in str(error):
            return Trial(fault, "an error without the file", f"{seed}: {error!r}")
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{seed}: {type(error).__name__}: {error!s:.120} ({Path(where.filename).name}:{where.lineno})"
        return Trial(fault, type(error).__name__, text)
    finally:
        reader.file.write_bytes(whole)
    if said:
        return Trial(fault, "read, with a warning of Python", f"{seed}: {said[0].message}")
    if (seconds := time.monotonic() - begun) > PATIENCE / 3:
        return Trial(fault, "slow", f"{seed}: {seconds:.0f} s")
    return Trial(fault, outcome)


def _batch(
    connection: Connection, subjects: Mapping[str, Reader], wholes: Mapping[str, bytes], seeds: Sequence[str]
) -> None:
    """A process's work: says each trial when it is done."""
    signal.signal(signal.SIGALRM, _hung)
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    for seed in seeds:
        name = seed.partition(" ")[2]
        signal.alarm(PATIENCE)
        connection.send(trial(name, subjects[name], wholes[name], seed))
        signal.alarm(0)
    os._exit(0)


def _hung(*_: object) -> None:
    raise Hung


def trials(subjects: Mapping[str, Reader], seeds: Sequence[str]) -> Iterator[Trial]:
    """A trial for each seed, which ends in the name of its reader, in forked processes."""
    wholes = {name: reader.file.read_bytes() for name, reader in subjects.items()}
    fork = multiprocessing.get_context("fork")
    done = 0
    while done < len(seeds):
        here, there = fork.Pipe(duplex=False)
        process = fork.Process(target=_batch, args=(there, subjects, wholes, seeds[done : done + BATCH]), daemon=True)
        process.start()
        there.close()
        with suppress(EOFError):
            while here.poll(2 * PATIENCE):
                yield here.recv()
                done += 1
        process.kill()
        process.join()
        if process.exitcode and done < len(seeds):  # neither its own end nor that of its batch
            name = seeds[done].partition(" ")[2]
            subjects[name].file.write_bytes(wholes[name])
            yield Trial(SPOILED + name, f"ends with {process.exitcode}", f"{seeds[done]}: the process ended or hung")
            done += 1


def seeds(subjects: Mapping[str, Reader], seed: int, count: int) -> list[str]:
    """What to do, in turn: a number and the name of a reader."""
    turns = [name for name, reader in subjects.items() for _ in range(reader.share)]
    order = Random(seed)
    return [f"{seed}-{number} {order.choice(turns)}" for number in range(count)]


def lines(found: Iterator[Trial]) -> tuple[Line, ...]:
    """Counts of trials, until there are no more or somebody stops it by Ctrl-C."""
    times: Counter[tuple[str, str]] = Counter()
    wrong: dict[tuple[str, str], list[str]] = defaultdict(list)
    with suppress(KeyboardInterrupt):
        for one in found:
            times[one.fault, one.outcome] += 1
            if one.wrong:
                wrong[one.fault, one.outcome].append(one.wrong)
                print(f"  {one.fault}: {one.outcome}\n    WRONG: {one.wrong}", flush=True)
    return tuple(
        Line(fault=kind[0], outcome=kind[1], times=n, wrong=tuple(wrong[kind][:3]), times_wrong=len(wrong[kind]))
        for kind, n in sorted(times.items())
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="this reader; repeatable")
    parser.add_argument("--count", type=int, default=COUNT, help="files to spoil")
    parser.add_argument("--seed", type=int, help="by default another one each time")
    parser.add_argument(
        "--out", type=Path, default=DATA, help=f"the file to write, by default {DATA.relative_to(ROOT)}"
    )
    given = parser.parse_args()
    if given.count < COUNT and given.out == DATA:
        parser.error("fewer files are no measurement: give an --out of its own")
    seed = secrets.randbelow(2**32) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell, too
    warm()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        subject = Subject(Path(work, "study"))
        place = Path(work, "fuzz")
        place.mkdir()
        subjects = readers(subject.benchmark, subject.undisturbed / RUNS, place)
        subjects = {name: reader for name, reader in subjects.items() if name in (given.only or subjects)}
        start = time.monotonic()
        part = Part(
            date=datetime.now(UTC).date().isoformat(),
            commit=commit(ROOT),
            system=platform.platform(terse=True),
            python=platform.python_version(),
            seed=seed,
            lines=lines(trials(subjects, seeds(subjects, seed, given.count))),
            seconds=round(time.monotonic() - start),
        )
    given.out.write_text(
        Reliability(parts={"readers": part}).model_dump_json(indent=1, exclude_defaults=True) + "\n", encoding="utf-8"
    )
    for line in part.lines:
        print(f"{line.fault.removeprefix(SPOILED)}: {line.outcome}: {line.times}")
    print(f"{part.trials} files, {part.wrong} wrong, {part.seconds} s")
    return part.wrong > 0


if __name__ == "__main__":
    sys.exit(main())
