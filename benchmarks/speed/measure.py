"""Measures what SALMU costs, in one command, and writes ``docs/data/speed.json``.

    python benchmarks/speed/measure.py --against PATH          everything, in about 35 minutes on two cores
    python benchmarks/speed/measure.py --only scoring          one part, beside what stands of the others; repeatable
    python benchmarks/speed/measure.py --quick --out X         tiny sizes, which show that it runs

PATH is another checkout of this repository, of the code to hold this one against, with an environment of its own in
``.venv`` (`git worktree add PATH COMMIT`, then `uv sync --directory PATH`). Costs are processor seconds, and both sides
of every ratio take turns. Each part is a script in this folder, whose head says what it measures.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `salmu run` sets it
os.environ["OMP_NUM_THREADS"] = "1"

from figures import DATA, ROOT, Figure, Part, Speed, machine
from sides import Asked, Checkout

#: Scripts, in the order in which they are run: the first one builds the benchmark for the others.
PARTS = ("study", "step", "fit_overhead", "scoring", "growth", "overhead", "engines")
#: Those that hold this checkout against another one.
HELD_AGAINST = ("study", "step", "overhead")


def measure(name: str, asked: Asked) -> Part:
    """One part."""
    start = time.monotonic()
    figures = []
    for figure in importlib.import_module(name).measure(asked):
        figures.append(figure)
        print(f"{name}: {line(figure)}", flush=True)
    against = asked.against if name in HELD_AGAINST else None
    return Part(
        date=datetime.now(UTC).date().isoformat(),
        commit=asked.this.commit,
        against=against.commit if against else "",
        seconds=time.monotonic() - start,
        machine=machine(),
        figures=tuple(figures),
    )


def line(figure: Figure) -> str:
    """One figure, for the terminal."""
    to = f" / {figure.to}" if figure.to else ""
    verdict = ", short of its aim" if figure.short else ""
    return f"{figure.what}{to}: {figure.value:g} {figure.unit} ({figure.low:g} to {figure.high:g}){verdict}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout; without one, nothing is held against it")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; repeatable")
    parser.add_argument("--benchmark", default="mini", help="a name or a path")
    parser.add_argument(
        "--out", type=Path, default=DATA, help=f"the file to write, by default {DATA.relative_to(ROOT)}"
    )
    parser.add_argument("--work", type=Path, help="a folder for caches and runs, which another call can go on with")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, which measure nothing")
    given = parser.parse_args()
    if given.quick and given.out == DATA:
        parser.error("--quick measures nothing: give it an --out of its own")
    speed = Speed.model_validate_json(given.out.read_text(encoding="utf-8")) if given.out.is_file() else Speed()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        work = (given.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        os.environ["SALMU_CACHE"] = str(work / "cache-this")
        against = Checkout(given.against, work / "cache-against") if given.against else None
        asked = Asked(Checkout(ROOT, work / "cache-this"), against, work, given.benchmark, given.quick)
        for name in given.only or PARTS:
            part = measure(name, asked)
            speed = Speed(parts={**speed.parts, name: part})
            given.out.parent.mkdir(parents=True, exist_ok=True)
            given.out.write_text(speed.model_dump_json(indent=1, exclude_none=True) + "\n", encoding="utf-8")
    figures = [figure for name in given.only or PARTS for figure in speed.parts[name].figures]
    print(f"{given.out}: {len(figures)} figures, {sum(figure.short for figure in figures)} short of their aims")
    return 0


if __name__ == "__main__":
    sys.exit(main())
