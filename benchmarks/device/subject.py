"""The one place where the measurements touch SALMU: model, data, training loop, embedder, command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import open_clip
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from salmu_core.benchmark.splits import EvaluationData, read_evaluation
from salmu_core.clip.load import load_clip
from salmu_core.clip.model import Clip
from salmu_core.clip.save import save_checkpoint
from salmu_core.contract.config import TrainingConfig
from salmu_core.contract.features import Features
from salmu_core.contract.layout import BASE_SPLITS
from salmu_core.losses import contrastive
from salmu_core.score.embeddings import Embedder, Images
from salmu_core.testing import write_tiny_benchmark
from salmu_core.train.loop import fit
from salmu_core.train.order import CHUNK

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


class Pairs:
    """Random pixels and captions in main memory, drawn and brought to the card as a run does it.

    Args:
        clip: Says what the model takes.
        device: Where batches go.
        count: How many there are.
    """

    def __init__(self, clip: Clip, device: torch.device, count: int) -> None:
        rng = np.random.default_rng(0)
        self._pixels = torch.from_numpy(rng.integers(0, 256, (count, 3, *sides(clip)), dtype=np.uint8))
        self._tokens = clip.tokenize([f"Person Number{k} has the phone number {k}" for k in range(count)])
        self._clip, self._device, self._count = clip, device, count

    def draw(self, step: int, size: int) -> Any:
        """A batch with ``image`` and ``text``, as losses take it."""
        index = torch.from_numpy(np.random.default_rng(step).permutation(self._count)[:size])
        image = self._clip.normalize(self._pixels[index], self._device)
        return SimpleNamespace(image=image, text=self._tokens[index].to(self._device))


def train(
    model: nn.Module,
    pairs: Pairs,
    batch: int,
    steps: int,
    accelerator: Accelerator,
    on_begin: Callable[[int], None],
) -> None:
    """Train on ``batch`` + ``batch`` pairs a step by the loop all methods share.

    Args:
        model: On the accelerator's device.
        pairs: Where batches come from.
        batch: Pairs of each set.
        steps: How many.
        accelerator: Device and precision.
        on_begin: Called with its number before each step.
    """

    clip: Any = model

    def loss(number: int) -> Tensor:
        drawn = pairs.draw(number, batch)
        image, text = clip.encode_image(drawn.image, normalize=True), clip.encode_text(drawn.text, normalize=True)
        return contrastive(Features(image, text), clip.logit_scale.exp())

    def objective(step: int) -> dict[str, Tensor]:
        on_begin(step)
        return {name: loss(2 * step + place) for place, name in enumerate(("forget", "retain"))}

    fit(model, objective, lambda: steps, TrainingConfig(lr=1e-6, batch_size=batch), accelerator)


@contextmanager
def optimizer(fused: bool) -> Iterator[None]:
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
    """Embeddings as scoring makes them, of all rows of a benchmark.

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
