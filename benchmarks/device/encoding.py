"""Parts that encode."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from job import Job
from place import begin, computing
from records import Agreement, Encoding, Precision
from subject import SCORING_BATCH, Scoring, load, sides
from timing import mean_seconds, now
from torch import Tensor

#: Rows of images and captions whose cosines are compared.
COMPARED = 1024


def encoding(job: Job) -> None:
    """Images and captions a second, in scoring and of the model alone, and what bf16 does to cosines."""
    place, clip = begin(), load(job.scratch)
    clip.model.to(place)
    scoring = Scoring(clip, job.scratch, place)
    embedded: dict[str, tuple[Tensor, Tensor]] = {}

    def told(path: Literal["scoring", "model alone"], tower: Literal["images", "captions"], precision: Precision,
             batch: int, items: int, rate: float) -> None:  # fmt: skip
        found = {"path": path, "tower": tower, "precision": precision, "batch": batch, "items": items}
        job.tell(Encoding(**found, per_second=rate, tflops=job.gflop[tower] * rate / 1e3))

    def through_scoring(precision: Precision) -> None:
        embedder, found = scoring.embedder(), []
        with computing(precision, place):
            for tower, embed in (("images", scoring.images), ("captions", scoring.captions)):
                before = embedder.images_encoded + embedder.captions_encoded
                start = now(place)
                found.append(embed(embedder))
                seconds = now(place) - start
                items = embedder.images_encoded + embedder.captions_encoded - before
                told("scoring", tower, precision, SCORING_BATCH, items, items / seconds)
        embedded[precision] = (found[0][:COMPARED], found[1][:COMPARED])

    def alone(precision: Precision, batch: int) -> None:
        images = torch.rand(batch, 3, *sides(clip), device=place)
        texts = clip.tokenize([f"caption {k}" for k in range(batch)]).to(place)
        with torch.inference_mode(), computing(precision, place):
            for tower, encode, inputs in (
                ("images", clip.model.encode_image, images),
                ("captions", clip.model.encode_text, texts),
            ):
                seconds = mean_seconds(partial(encode, inputs, normalize=True), place, times=2 if job.quick else 10)
                told("model alone", tower, precision, batch, batch, batch / seconds)

    def warm_up() -> None:
        scoring.images(scoring.embedder())  # pictures are decoded once, for everybody
        scoring.captions(scoring.embedder())

    job.attempt("decoding", warm_up)
    for precision in ("fp32", "tf32", "bf16"):
        job.attempt(f"through scoring, {precision}", partial(through_scoring, precision), needs=10)
    job.attempt("bf16 against fp32", lambda: _agreement(job, "bf16", embedded["bf16"], embedded["fp32"]))
    job.attempt("bf16 normalised in fp32", lambda: _late(job, clip, scoring, place, embedded["fp32"]), needs=5)
    for precision in ("fp32", "tf32", "bf16"):
        for batch in (4,) if job.quick else (SCORING_BATCH, 4 * SCORING_BATCH):
            job.attempt(f"the model alone, {precision}, {batch} at a time", partial(alone, precision, batch), needs=5)


def _late(job: Job, clip: Any, scoring: Scoring, place: torch.device, exact: tuple[Tensor, Tensor]) -> None:
    """Towers in bf16 whose embeddings are brought to length 1 in fp32."""
    class_of = type(clip.model)

    def unit(encode: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def normalised(inputs: Tensor, normalize: bool = False) -> Tensor:
            return torch.nn.functional.normalize(encode(inputs, normalize=False).float(), dim=-1)

        return normalised

    names = ("encode_image", "encode_text")
    for name in names:
        setattr(clip.model, name, unit(getattr(class_of, name).__get__(clip.model)))
    try:
        embedder = scoring.embedder()
        with computing("bf16", place):
            found = scoring.images(embedder)[:COMPARED], scoring.captions(embedder)[:COMPARED]
    finally:
        for name in names:
            delattr(clip.model, name)
    _agreement(job, "fp32", found, exact)


def _agreement(job: Job, normalised: Precision, found: tuple[Tensor, Tensor], exact: tuple[Tensor, Tensor]) -> None:
    off = (found[0] @ found[1].T - exact[0] @ exact[1].T).abs()
    job.tell(
        Agreement(
            normalised=normalised,
            images=off.shape[0],
            captions=off.shape[1],
            largest=float(off.max()),
            mean=float(off.mean()),
        )
    )
