"""Parts that encode."""

from __future__ import annotations

from functools import partial
from typing import Literal, cast

import torch
from job import Job
from place import begin, computing
from records import Agreement, Encoding, Precision
from subject import SCORING_BATCH, Scoring, load, sides
from timing import mean_seconds, now
from torch import Tensor

Path = Literal["scoring", "model alone"]
Tower = Literal["images", "captions"]
#: Rows of images and captions whose cosines are compared.
COMPARED = 1024


def encoding(job: Job) -> None:
    """Images and captions a second, in scoring and of the model alone, and what less than fp32 does to cosines."""
    place, clip = begin(), load(job.scratch)
    clip.model.to(place)
    scoring = Scoring(clip, job.scratch, place)
    towers = {"images": clip.model.encode_image, "captions": clip.model.encode_text}

    def told(path: Path, tower: Tower, precision: Precision, batch: int, items: int, rate: float) -> None:
        rates = {"per_second": rate, "tflops": job.gflop[tower] * rate / 1e3}
        job.tell(Encoding(path=path, tower=tower, precision=precision, batch=batch, items=items, **rates))

    def through_scoring() -> None:
        embedder = scoring.embedder()
        for tower, embed in (("images", scoring.images), ("captions", scoring.captions)):
            before = embedder.images_encoded + embedder.captions_encoded
            start = now(place)
            embed(embedder)
            seconds = now(place) - start
            items = embedder.images_encoded + embedder.captions_encoded - before
            told("scoring", cast(Tower, tower), "fp32", SCORING_BATCH, items, items / seconds)

    def alone(precision: Precision, batch: int) -> None:
        texts = clip.tokenize([f"caption {k}" for k in range(batch)]).to(place)
        inputs = {"images": torch.rand(batch, 3, *sides(clip), device=place), "captions": texts}
        with torch.inference_mode(), computing(precision, place):
            for tower, encode in towers.items():
                work = partial(encode, inputs[tower], normalize=True)
                seconds = mean_seconds(work, place, times=2 if job.quick else 10)
                told("model alone", cast(Tower, tower), precision, batch, batch, batch / seconds)

    def cosines(precision: Precision) -> Tensor:
        inputs = zip(towers.values(), scoring.inputs(COMPARED), strict=True)
        with torch.inference_mode(), computing(precision, place):
            parts = [[encode(part, normalize=True) for part in torch.split(of, SCORING_BATCH)] for encode, of in inputs]
        image, text = (torch.cat(part).double() for part in parts)
        return image @ text.T

    def agreement(precision: Precision) -> None:
        off = (cosines(precision) - cosines("fp32")).abs()
        images, captions = off.shape
        more = {"images": images, "captions": captions, "largest": float(off.max()), "mean": float(off.mean())}
        job.tell(Agreement(precision=precision, normalised=precision, **more))

    def warm_up() -> None:
        scoring.images(scoring.embedder())  # pictures are decoded once, for everybody
        scoring.captions(scoring.embedder())

    job.attempt("decoding", warm_up)
    job.attempt("through scoring", through_scoring, needs=10)
    for precision in ("tf32", "bf16"):
        job.attempt(f"{precision} against fp32", partial(agreement, precision), needs=5)
    for precision in ("fp32", "tf32", "bf16"):
        for batch in (4,) if job.quick else (SCORING_BATCH, 4 * SCORING_BATCH):
            job.attempt(f"the model alone, {precision}, {batch} at a time", partial(alone, precision, batch), needs=5)
