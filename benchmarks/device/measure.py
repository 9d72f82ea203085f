"""Measures SALMU on the card of this machine, in one command, and writes a file of ``docs/data/device/``.

The card's matrix peak; training as runs do it, from a method's own batch up to one that fills the card, and what
compiling, reading ahead, encoding both batches together and a fused AdamW gain; encoding in fp32, tf32 and bf16, and
what these do to cosines; several processes on one card; a whole `salmu run`. Model: ViT-B/16 with random weights. Data:
noise, made here.

    python benchmarks/device/measure.py                    under nine minutes
    python benchmarks/device/measure.py --quick --out X    everything at tiny sizes, without a card, in a minute

Shares of the peak count the products of matrices, convolutions and attention of the forward pass, a multiplication and
an addition as two, and three times as much for a training step; nothing for losses, AdamW or what is computed again.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `salmu run` sets it

import torch
from job import MACHINE, SUBJECT, WHOLE, Job, run
from parts import PARTS
from place import GIB
from records import Failure, Machine, Measurement, Result, Subject, part_of
from subject import ARCHITECTURE, decode, load, make_benchmark, operations

OUT = Path(__file__).parents[2] / "docs" / "data" / "device"


def prepare(job: Job) -> None:
    """The benchmark all parts use, its pictures decoded for all of them, and what is measured on what."""
    make_benchmark(job.scratch / "benchmark", job.quick)
    clip = load(job.scratch)
    decode(job.scratch, clip)
    image, caption = operations(clip)
    weights = sum(p.numel() for p in clip.model.parameters())
    subject = Subject(
        architecture="tiny" if job.quick else ARCHITECTURE,
        weights=round(weights / 1e6),
        image_gflop=image,
        caption_gflop=caption,
    )
    (job.scratch / SUBJECT).write_text(subject.model_dump_json(), encoding="utf-8")
    (job.scratch / MACHINE).write_text(machine().model_dump_json(), encoding="utf-8")


def machine() -> Machine:
    """Card and versions."""
    card = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
    return Machine(
        card=card.name if card else "none",
        memory_gib=round(card.total_memory / GIB, 1) if card else None,
        driver=driver() if card else None,
        cuda=torch.version.cuda if card else None,
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        torch=torch.__version__,
        open_clip=importlib.metadata.version("open-clip-torch"),
        salmu_core=importlib.metadata.version("salmu-core"),
    )


def driver() -> str | None:
    """Version of the card's driver, if there is something to ask."""
    try:
        told = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.splitlines()[0].strip()


def measure(scratch: Path, quick: bool, seconds: float, parts: list[str], beside: str) -> Measurement | None:
    """Run every part; None if not even the data could be made."""
    start = time.monotonic()
    end = start + seconds
    os.environ["SALMU_CACHE"] = str(scratch / "cache")

    def job(name: str, share: float) -> Job:
        now = time.monotonic()
        return Job(name, scratch, quick, now + share * (end - now), scratch / f"{name}.jsonl")

    results: list[Result] = list(run(job("preparing", 0.3), prepare))
    if not (scratch / MACHINE).is_file():
        return None
    for number, name in enumerate(parts):
        part, weight = PARTS[name]
        if time.monotonic() < end - 5:
            # Of what is left by now: a part that ends early leaves its time to those after it.
            results += run(job(name, weight / sum(PARTS[later][1] for later in parts[number:])), part)
        else:
            results.append(Failure(part=name, what=WHOLE, why="there was no time left for it"))
    return Measurement(
        command="python benchmarks/device/measure.py" + (" --quick" if quick else ""),
        date=datetime.now(UTC).date().isoformat(),
        quick=quick,
        seconds=round(time.monotonic() - start, 1),
        machine=Machine.model_validate_json((scratch / MACHINE).read_text(encoding="utf-8")),
        subject=Subject.model_validate_json((scratch / SUBJECT).read_text(encoding="utf-8")),
        beside=beside,
        results=tuple(results),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = OUT.relative_to(OUT.parents[2])
    parser.add_argument("--out", type=Path, help=f"the file to write, by default one of {folder} with the card's name")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, which measure nothing")
    parser.add_argument("--minutes", type=float, default=8.5, help="the time there is")
    parser.add_argument("--beside", default="", help="what else the machine does meanwhile, for the page to say")
    parser.add_argument(
        "--part", action="append", choices=PARTS, help="only this part, beside what OUT has of the others; repeatable"
    )
    given = parser.parse_args()
    if given.quick and given.out is None:
        parser.error("--quick measures nothing: give it an --out of its own")
    parts = [name for name in PARTS if name in (given.part or PARTS)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        measurement = measure(Path(scratch), given.quick, 60 * given.minutes, parts, given.beside)
    if measurement is None:
        print("there is nothing to measure with: see above", file=sys.stderr)
        return 1
    out = given.out or OUT / f"{re.sub('[^a-z0-9]+', '-', measurement.machine.card.lower())}.json"
    if given.part and out.is_file():
        measurement = beside(Measurement.model_validate_json(out.read_text(encoding="utf-8")), measurement, parts)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(measurement.model_dump_json(indent=1) + "\n", encoding="utf-8")
    failures = sum(result.kind == "failure" for result in measurement.results)
    figures = len(measurement.results) - failures
    print(f"{out}: {figures} figures in {measurement.seconds:.0f} s, {failures} without one")
    return 0


def beside(earlier: Measurement, later: Measurement, parts: list[str]) -> Measurement:
    """Some parts measured again, beside what stands of the others; alone, if that is of another machine or model."""
    if (earlier.machine, earlier.subject, earlier.quick) != (later.machine, later.subject, later.quick):
        return later
    said = "; ".join(dict.fromkeys(filter(None, (earlier.beside, later.beside))))
    kept = [result for result in earlier.results if part_of(result) not in parts]
    order = ["preparing", *PARTS]
    results = sorted([*kept, *later.results], key=lambda result: order.index(part_of(result)))
    return later.model_copy(
        update={
            "results": tuple(results),
            "seconds": earlier.seconds + later.seconds,
            "command": earlier.command,
            "beside": said,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
