"""Makes faults of machines on purpose, many of them, and writes what came of each to ``docs/data/reliability.json``.

    python benchmarks/reliability/loops.py                      every loop, as every night
    python benchmarks/reliability/loops.py --only kills --count 10 --seed 3 --out X
    python benchmarks/reliability/loops.py --quick --out X      a few trials of each, as on every commit

Each loop is a module of ``faults``, whose head says what it does. A trial is a study of one run on a tiny benchmark in
a process that is forked from this one, held byte by byte against one that nobody disturbed. What should not have been
is printed, and is exit code 1. The seed, which is printed too, brings the same faults again, as far as they don't
depend on the clock.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import secrets
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `salmu run` sets it
os.environ["OMP_NUM_THREADS"] = "1"
sys.path.append(str(Path(__file__).parents[1] / "speed"))

from faults.subject import Subject
from faults.tallies import Part, Reliability, tally
from faults.trials import warm
from figures import ROOT, commit

DATA = ROOT / "docs" / "data" / "reliability.json"
#: Loops, and how many trials each has by night and on every commit.
LOOPS = {
    "kills": (200, 2),
    "failures": (200, 2),
    "traced": (100, 0),
    "power": (80, 5),
    "locks": (12, 1),
    "flips": (4000, 30),
    "machine": (40, 0),
}


def measure(name: str, subject: Subject, seed: int, count: int) -> Part:
    """The trials of one loop."""
    start = time.monotonic()
    loop = importlib.import_module(f"faults.{name}").loop
    lines = tally(loop(subject, Random(f"{seed} {name}"), count))
    return Part(
        date=datetime.now(UTC).date().isoformat(),
        commit=commit(ROOT),
        system=platform.platform(terse=True),
        python=platform.python_version(),
        seed=seed,
        seconds=round(time.monotonic() - start),
        lines=lines,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=LOOPS, help="this loop; repeatable")
    parser.add_argument("--count", type=int, help="trials of a loop")
    parser.add_argument("--seed", type=int, help="by default another one each time")
    parser.add_argument("--quick", action="store_true", help="a few trials of each")
    parser.add_argument(
        "--out", type=Path, default=DATA, help=f"the file to write, by default {DATA.relative_to(ROOT)}"
    )
    given = parser.parse_args()
    if given.quick and given.out == DATA:
        parser.error("--quick is no measurement: give it an --out of its own")
    seed = secrets.randbelow(2**32) if given.seed is None else given.seed
    names = given.only or [name for name, counts in LOOPS.items() if counts[given.quick]]
    warm()
    made = Reliability.model_validate_json(given.out.read_bytes()) if given.out.is_file() else Reliability()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        subject = Subject(Path(work, "study"))
        for name in names:
            part = measure(name, subject, seed, given.count or LOOPS[name][given.quick])
            made = Reliability(parts={**made.parts, name: part})
            given.out.write_text(made.model_dump_json(indent=1, exclude_defaults=True) + "\n", encoding="utf-8")
            print(f"{name}, seed {seed}: {part.trials} trials, {part.wrong} wrong, {part.seconds} s", flush=True)
            for line in part.lines:
                print(f"  {line.fault}: {line.outcome}: {line.times}", *line.wrong, sep="\n    WRONG: ", flush=True)
    return any(made.parts[name].wrong for name in names)


if __name__ == "__main__":
    sys.exit(main())
