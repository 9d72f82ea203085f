"""What is measured on a card, as it stands in ``docs/data/device/``, a file a card."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

Precision = Literal["fp32", "tf32", "bf16"]
#: A measured number, to as many digits as repeat.
Number = Annotated[float, AfterValidator(lambda value: float(f"{value:.4g}"))]


class Figure(BaseModel):
    """Base of everything measured: closed, immutable, finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Peak(Figure):
    """What the card reaches in one square matrix product of random numbers."""

    kind: Literal["peak"] = "peak"
    precision: Precision
    size: int
    """Rows and columns of each matrix."""
    tflops: Number
    """10^12 operations a second; a multiplication and an addition are two."""


class Training(Figure):
    """Steps of a run, in bf16, on pixels that lie in main memory."""

    kind: Literal["training"] = "training"
    variant: Literal["eager", "compiled", "CUDA graphs"]
    fused: bool
    """Whether AdamW's step is one kernel for many tensors."""
    joint: bool = False
    """Whether the batches of both sets go through the towers together."""
    ahead: bool = False
    """Whether the next step's images are read and copied while the card computes."""
    batch: int
    """Pairs of each of the two sets in a step; a step has twice as many."""
    pairs_per_second: Number
    tflops: Number
    """Three times the forward operations of a pair, times pairs a second."""
    waiting: Number | None
    """Share of a step's time in which no kernel ran; None where there is no card."""
    peak_gib: Number | None
    """Most memory that was allocated on the card."""
    first_seconds: Number
    """The steps before timing begins: with them, whatever is compiled."""


class Encoding(Figure):
    """Embeddings of many images or captions."""

    kind: Literal["encoding"] = "encoding"
    path: Literal["scoring", "model alone"]
    """From decoded pixels in main memory to embeddings there, as scoring does it; or from inputs on the card."""
    tower: Literal["images", "captions"]
    precision: Precision
    batch: int
    items: int
    per_second: Number
    tflops: Number


class Agreement(Figure):
    """How far cosines of images and captions lie from those in fp32, over all pairs of some rows."""

    kind: Literal["agreement"] = "agreement"
    precision: Precision = "bf16"
    """What the towers computed in."""
    normalised: Precision
    """What embeddings were brought to length 1 in."""
    images: int
    captions: int
    largest: Number
    mean: Number


class Together(Figure):
    """Several processes that train on one card at the same time."""

    kind: Literal["together"] = "together"
    processes: int
    batch: int
    pairs_per_second: Number
    """Of all processes."""


class Unlearned(Figure):
    """The unlearning part of ``salmu run``, by the run's own ledger."""

    kind: Literal["unlearned"] = "unlearned"
    method: str
    steps: int
    pairs: int
    seconds: Number
    peak_gib: Number


class Scored(Figure):
    """The scoring part of ``salmu run``: all installed metrics of one model, by the record's own count."""

    kind: Literal["scored"] = "scored"
    model: str
    images: int
    captions: int
    metrics: int
    """Metrics that have a value."""
    seconds: Number


class Failure(Figure):
    """What has no figure, and why."""

    kind: Literal["failure"] = "failure"
    part: str
    what: str
    why: str


def part_of(result: Result) -> str:
    """The part that a figure, or what has none, comes from."""
    if isinstance(result, Failure):
        return result.part
    if isinstance(result, Training) and result.variant != "eager":
        return "compiling"
    return {"agreement": "encoding", "unlearned": "study", "scored": "study"}.get(result.kind, result.kind)


Result = Annotated[
    Peak | Training | Encoding | Agreement | Together | Unlearned | Scored | Failure, Field(discriminator="kind")
]
RESULT: TypeAdapter[Result] = TypeAdapter(Result)


class Machine(Figure):
    """What was measured on."""

    card: str
    memory_gib: Number | None
    driver: str | None
    cuda: str | None
    cores: int
    python: str
    torch: str
    open_clip: str
    salmu_core: str


class Subject(Figure):
    """What was measured."""

    architecture: str
    weights: int
    """Number of them, in millions."""
    image_gflop: Number
    """10^9 operations of the image tower on one image: products of matrices, convolutions and attention."""
    caption_gflop: Number


class Measurement(Figure):
    """A file of ``docs/data/device/``."""

    command: str
    date: str
    quick: bool
    """Tiny sizes, which show that everything runs and measure nothing."""
    seconds: Number
    machine: Machine
    subject: Subject
    beside: str = ""
    """What else the machine did meanwhile, which shows in the times."""
    results: tuple[Result, ...]
