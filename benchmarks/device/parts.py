"""What is measured, part by part; each runs in a process of its own and tells its results as it goes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from encoding import encoding
from job import Job
from place import GIB, begin, device
from records import Failure, Peak, Precision, Scored, Unlearned
from subject import METHOD, salmu_run
from timing import mean_seconds
from training import compiling, together, training


def peak(job: Job) -> None:
    """The card's matrix peak: products of two square matrices of random numbers, the mean of ten after three."""
    place, size = begin(), 256 if job.quick else 8192

    def measure(precision: Precision) -> None:
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        a, b = (torch.randn(size, size, device=place, dtype=kind) for _ in range(2))
        out = torch.empty_like(a)
        seconds = mean_seconds(lambda: torch.matmul(a, b, out=out), place)
        job.tell(Peak(precision=precision, size=size, tflops=2 * size**3 / seconds / 1e12))

    for precision in ("bf16", "tf32", "fp32"):
        job.attempt(f"matrix products in {precision}", partial(measure, precision), needs=5)


def study(job: Job) -> None:
    """``salmu run`` of one method, whole: opening, decoding, unlearning, scoring its model, Clean and Compromised."""
    for record in salmu_run(job.scratch, job.quick, device()):
        if record["record"] == "run":
            ledger = record["ledger"]
            job.tell(
                Unlearned(
                    method=METHOD,
                    steps=ledger["steps"],
                    pairs=ledger["forget_samples"] + ledger["retain_samples"],
                    seconds=ledger["seconds"],
                    peak_gib=ledger["peak_memory_bytes"] / GIB,
                )
            )
            if record["status"] != "valid":
                job.tell(Failure(part=job.name, what=METHOD, why=f"{record['status']}: {record['reason']}"))
        else:
            job.tell(
                Scored(
                    model=record["model"],
                    images=record["images_encoded"],
                    captions=record["captions_encoded"],
                    metrics=sum(bool(entry["values"]) for entry in record["metrics"].values()),
                    seconds=record["seconds"],
                )
            )


#: Name -> part and its weight when time is shared out; in order, the most at risk last. The study comes before
#: encoding, which finds the pictures decoded then.
PARTS: dict[str, tuple[Callable[[Job], None], float]] = {
    "peak": (peak, 1),
    "training": (training, 4),
    "study": (study, 3),
    "encoding": (encoding, 2),
    "together": (together, 4),
    "compiling": (compiling, 5),
}
