"""The one place where the measurements touch SALMU: model, data, training loop, embedder, command line."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import numpy as np
import open_clip
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.benchmark.splits import EvaluationData, read_evaluation
from salmu_core.clip.load import load_clip
from salmu_core.clip.model import Clip
from salmu_core.clip.save import save_checkpoint
from salmu_core.contract.config import TrainingConfig
from salmu_core.contract.layout import BASE_SPLITS, FORGET
from salmu_core.contract.steps import Step
from salmu_core.losses import contrastive
from salmu_core.plugins.zoo import discover
from salmu_core.run import draws
from salmu_core.run.context import RunContext
from salmu_core.run.meter import Meter
from salmu_core.run.session import TrainingRows, TrainingSession
from salmu_core.score.embeddings import Embedder, Images
from salmu_core.testing import write_tiny_benchmark
from salmu_core.train.compiled import Compiler
from salmu_core.train.order import CHUNK
from salmu_core.train.pieces import Pieces

ARCHITECTURE = "ViT-B-16"
#: What `salmu run` is asked for: it draws from both sets, and asks for the original's embeddings too.
METHOD = "delete"
SCORING_BATCH = CHUNK


def make_benchmark(folder: Path, quick: bool) -> None:
    """A benchmark in the released layout whose two models are of the architecture, with random weights.

    Its pictures are noise of 18 x 24 pixels, enlarged to what the model takes: it is the card that is measured.
    """
    write_tiny_benchmark(folder, people=8 if quick else 1024)
    if quick:
        return
    for seed, role in enumerate(("clean", "compromised")):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model = open_clip.create_model(ARCHITECTURE)
        config = {"model_cfg": open_clip.get_model_config(ARCHITECTURE), "preprocess_cfg": model.visual.preprocess_cfg}
        save_checkpoint(folder / role, model.eval(), config)


def load(scratch: Path) -> Clip:
    """The model that is trained and encodes."""
    return load_clip(scratch / "benchmark" / "compromised")


def decode(scratch: Path, clip: Clip) -> None:
    """Decode the pictures of all rows, as runs and scoring find them in the cache from then on."""
    TrainingRows.open(open_benchmark(str(scratch / "benchmark"), discover(()), lambda *_: None), clip)
    Images(evaluation_data(scratch), clip)


def operations(clip: Clip) -> tuple[float, float]:
    """10^9 operations of the image tower on one image and of the text tower on one caption, forwards.

    Counted by torch: a multiplication and an addition are two; products of matrices, convolutions and attention.
    """
    image = torch.zeros(1, 3, *sides(clip))
    text = clip.tokenize(["a caption"])
    counts = []
    clip.model.train()  # in eval mode attention may take a path that is not counted
    for tower, inputs in ((clip.model.encode_image, image), (clip.model.encode_text, text)):
        with FlopCounterMode(display=False) as counter:
            tower(inputs)
        counts.append(counter.get_total_flops() / 1e9)
    clip.model.eval()
    return counts[0], counts[1]


def sides(clip: Clip) -> tuple[int, int]:
    """Height and width of an image."""
    size = clip.image_size
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


@dataclass(frozen=True)
class Way:
    """How a run is made.

    Attributes:
        variant: What encodes.
        joint: Whether the batches of both sets go through the towers together.
        ahead: Whether the next step's images are read while the card computes.
        fused: Whether AdamW's step is one kernel for many tensors.
    """

    variant: Literal["eager", "compiled", "CUDA graphs"] = "eager"
    joint: bool = True
    ahead: bool = True
    fused: bool = True


#: As `salmu run` makes steps of itself.
USUAL = Way()


class Training:
    """Runs of the benchmark, as `salmu run` makes them, of a method that brings pairs of both sets together.

    Args:
        scratch: Where the benchmark lies.
        accelerator: Device and precision.
    """

    def __init__(self, scratch: Path, accelerator: Accelerator) -> None:
        benchmark = open_benchmark(str(scratch / "benchmark"), discover(()), lambda *_: None)
        self._session, self._accelerator = TrainingSession.open(benchmark, accelerator), accelerator

    def train(self, batch: int, steps: int, on_begin: Callable[[int], None], way: Way = USUAL) -> None:
        """Make steps of ``batch`` + ``batch`` pairs, on a fresh copy of the model.

        Args:
            batch: Pairs of each set.
            steps: How many.
            on_begin: Called with its number before each step.
            way: How.

        Raises:
            RuntimeError: Memory ran out, or what was to be compiled was not.
        """

        def loss(ctx: RunContext[TrainingConfig], step: Step) -> dict[str, Tensor]:
            on_begin(step.index)
            batches = step.forget, step.retain
            pairs = ctx.features(*batches) if way.joint else [ctx.features(one) for one in batches]
            scale = ctx.model.logit_scale.exp()
            return {name: contrastive(some, scale) for name, some in zip(("forget", "retain"), pairs, strict=True)}

        said: list[str] = []
        original = self._session.clip.model
        model, compiler = copy.deepcopy(original), Compiler("off" if way.variant == "eager" else "on", said.append)
        # Towers whose batches may come in pieces are compiled without graphs.
        size = batch * 2 if way.variant == "compiled" else 0
        pieces = Pieces(model, size, compiler.gave_up)
        ctx = RunContext(
            TrainingConfig(lr=1e-6, batch_size=batch),
            model=model,
            reference=original,
            session=self._session,
            seed=0,
            meter=Meter(steps * batch, 1),
            accelerator=self._accelerator,
            pieces=pieces,
            compiler=compiler,
        )
        reading = nullcontext() if way.ahead else mock.patch.object(draws, "ahead", lambda _: nullcontext())
        with reading, own_optimizer(way.fused):
            ctx.fit(loss, steps=steps)
        if pieces.size != size:
            raise RuntimeError(f"memory ran out, and batches were encoded in pieces of {pieces.size} pairs")
        if said:
            raise RuntimeError("; ".join(said))


@contextmanager
def own_optimizer(fused: bool) -> Iterator[None]:
    """The loop's AdamW, or the same without its fused kernel.

    Raises:
        RuntimeError: The loop did not ask for one, so that nothing was changed.
    """
    if fused:
        yield
        return
    made, adamw = [], torch.optim.AdamW

    def plain(*arguments: Any, **settings: Any) -> torch.optim.AdamW:
        made.append(True)
        return adamw(*arguments, **{**settings, "fused": False})

    with mock.patch.object(torch.optim, "AdamW", plain):
        yield
    if not made:
        raise RuntimeError("the loop made its optimizer in another way")


def evaluation_data(scratch: Path) -> EvaluationData:
    """The rows that are scored."""
    return read_evaluation(scratch / "benchmark", scratch / "benchmark" / "zeroshot")


class Scoring:
    """Embeddings as scoring makes them, in fp32 whatever is set outside, of all rows of a benchmark.

    Args:
        clip: The model, on the device.
        scratch: Where the benchmark lies.
        device: Where to embed.
    """

    def __init__(self, clip: Clip, scratch: Path, device: torch.device) -> None:
        self._clip, self._device = clip, device
        self._data = evaluation_data(scratch)
        self._images = Images(self._data, clip)
        self._captions = [caption for split in BASE_SPLITS for caption in self._data.base[split].captions]

    def embedder(self) -> Embedder:
        """One that has embedded nothing yet."""
        return Embedder(self._clip, self._data, self._images, self._device)

    def images(self, embedder: Embedder) -> Tensor:
        """Of all rows, ``[n, d]``, in main memory."""
        return torch.cat([embedder.images(split) for split in BASE_SPLITS])

    def captions(self, embedder: Embedder) -> Tensor:
        """Of all rows, ``[n, d]``, in main memory."""
        return embedder.texts(self._captions)

    def inputs(self, count: int) -> tuple[Tensor, Tensor]:
        """Images and tokens of the first rows of the forget set, on the device."""
        rows = np.arange(min(count, len(self._data.base[FORGET])))
        images = self._clip.normalize(self._images(FORGET, rows), self._device)
        captions = [self._data.base[FORGET].captions[i] for i in rows]
        return images, self._clip.tokenize(captions).to(self._device)


def salmu_run(scratch: Path, quick: bool, device: torch.device) -> list[dict[str, Any]]:
    """``salmu run`` of one method, with everything it says of itself.

    Returns:
        The records: ``ledger``, ``method`` of the run; ``metrics``, ``seconds``, ``images_encoded``,
        ``captions_encoded``, ``model`` of each model that was scored.

    Raises:
        RuntimeError: It failed; the end of what it said.
    """
    runs = scratch / "runs"
    precision = ["--mixed-precision", "bf16"] if device.type == "cuda" else []
    command = [sys.executable, "-m", "salmu_core", "run", METHOD, "--benchmark", str(scratch / "benchmark")]
    options = ["--budget", "1", "--processes", "1", "--output", str(runs), *precision]
    said = subprocess.run(
        [*command, *options, *(["--set", f"{METHOD}.batch_size=4"] if quick else [])],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    if said.returncode:
        raise RuntimeError(" / ".join((said.stderr or said.stdout).strip().splitlines()[-3:]))
    ledgers = [{**_json(path), "record": "run"} for path in sorted(runs.rglob("run.json"))]
    scores = [
        {**_json(path), "record": "metrics", "model": path.parent.name if "_references" in path.parts else METHOD}
        for path in sorted(runs.rglob("metrics.json"))
    ]
    return [*ledgers, *scores]


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
