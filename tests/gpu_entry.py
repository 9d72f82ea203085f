"""Where the tests on a card touch SALMU, beside its command line; `device` is ``cpu`` or ``cuda`` everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.benchmark.splits import read_evaluation
from salmu_core.clip.load import load_clip
from salmu_core.contract.config import TrainingConfig
from salmu_core.plugins.zoo import discover
from salmu_core.run.outcome import Outcome
from salmu_core.run.runner import run_one
from salmu_core.run.saves import Saves
from salmu_core.run.session import TrainingSession
from salmu_core.score.embeddings import Embedder, Images
from salmu_core.testing import tiny_model
from salmu_core.train.compiled import Compiler
from salmu_core.train.loop import fit
from salmu_core.train.observer import Observer
from salmu_core.train.settings import Every

#: Of a run that is held against another one: gentle, as its first gradients are noise where a term begins at 0, and
#: AdamW makes steps of full size of that. With a weight of 9 for that term compiled towers came 7% of the way off.
SETTINGS = {"batch_size": 4, "lr": 1e-3, "retention_weight": 1.0, "consistency_weight": 1.0}
SPLITS = ("forget", "holdout_association", "holdout_identity", "retain_joint", "retain_disjoint", "zeroshot")


def accelerator(device: str, precision: str = "no") -> Accelerator:
    """A fresh one; accelerate keeps the first one's device and precision for the whole process otherwise."""
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=device == "cpu", mixed_precision=precision)


def trained(device: str, precision: str = "no", steps: int = 12) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The weights of a tiny model after some steps of the loop, on the CPU, and the losses it told."""
    place, model = accelerator(device, precision), tiny_model().to(device)
    losses: list[float] = []

    def objective(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(step)
        image = torch.randn(8, 3, 16, 16, generator=generator).to(device)
        text = torch.randint(1, 400, (8, 20), generator=generator).to(device)
        a, b = model.encode_image(image, normalize=True), model.encode_text(text, normalize=True)
        target = torch.arange(8, device=device)
        return torch.nn.functional.cross_entropy(model.logit_scale.exp() * a @ b.T, target)

    config = TrainingConfig(lr=1e-3, warmup=0.25, weight_decay=0.1, max_grad_norm=0.5)
    observer = Observer(on_step=lambda done, of, values: losses.append(values["loss"]))
    fit(model, objective, lambda: steps, config, place, observer=observer)
    return {name: p.detach().float().cpu() for name, p in model.named_parameters()}, losses


def unlearned(device: str, benchmark: Path, compiler: Compiler | None = None, precision: str = "no") -> Outcome:
    """A run of one method of the zoo, as `salmu run` makes it."""
    place, zoo = accelerator(device, precision), discover()
    session = TrainingSession.open(open_benchmark(str(benchmark), zoo, lambda *_: None), place)
    spec = zoo.methods["cliperase"].spec
    return run_one(spec, spec.config(**SETTINGS), 4, 0, session, place, compiler=compiler)


def resumed(device: str, benchmark: Path, folder: Path, precision: str = "no") -> tuple[Outcome, list[str]]:
    """The same run, killed after its tenth step and gone on with; and what was said about that."""
    place, zoo = accelerator(device, precision), discover()
    session = TrainingSession.open(open_benchmark(str(benchmark), zoo, lambda *_: None), place)
    told: list[str] = []
    spec, saves = zoo.methods["cliperase"].spec, Saves(folder, Every(steps=1), say=told.append)

    def kill(done: int, of: int, values: Mapping[str, float]) -> None:
        if done == 10:  # on a card, nobody is told of those before
            raise KeyboardInterrupt

    run = partial(run_one, spec, spec.config(**SETTINGS), 4, 0, session, place, saves=saves)
    with suppress(KeyboardInterrupt):
        run(Observer(on_step=kill))
    assert (folder / "training-0001").is_dir()
    return run(), told


def embedded(device: str, benchmark: Path) -> dict[str, torch.Tensor]:
    """Embeddings of every split's images and captions as scoring makes them."""
    data, clip = read_evaluation(benchmark, benchmark / "zeroshot"), load_clip(benchmark / "compromised")
    images = Images(data, clip)
    clip.model.to(device)
    embedder, found = Embedder(clip, data, images, device), {}
    for split in SPLITS:
        found[f"images of {split}"] = embedder.images(split)
        if split != "zeroshot":
            rows, index = data.locate(split)
            found[f"captions of {split}"] = embedder.texts([rows.captions[i] for i in index])
    return found


def command(folder: Path, *words: str, card: bool = True) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, in a folder."""
    environment = {**os.environ, "SALMU_CACHE": str(folder / "cache"), "COLUMNS": "200"}
    if not card:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    said = subprocess.run(
        [sys.executable, "-m", "salmu_core", *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert said.returncode == 0, f"{said.stdout}\n{said.stderr}"
    return said


def salmu(folder: Path, *words: str, card: bool = True) -> Any:
    """What it prints as JSON."""
    return json.loads(command(folder, *words, card=card).stdout)


def records(results: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Folder and ``run.json`` of every run in a results folder."""
    return [(path.parent, json.loads(path.read_text())) for path in sorted(results.rglob("run.json"))]
