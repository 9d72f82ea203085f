"""Trains one model of the pair, from its start or from where it was stopped."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import torch

from salmu_core.clip.model import plain_tokenizer
from salmu_core.clip.save import save_checkpoint
from salmu_core.contract.layout import Role
from salmu_core.disk.files import new_folder
from salmu_core.errors import SalmuError
from salmu_core.machine import environment, peak_memory
from salmu_core.run.reporter import Reporter
from salmu_core.train.place import Place
from salmu_core.train.pretraining import Towers, Trainer
from salmu_references.architecture import new_model
from salmu_references.batches import Batches, Cut, load, train_transform
from salmu_references.objective import SharedTrainer
from salmu_references.record import ModelRef, TrainingRecord
from salmu_references.resume import Keeper, Saved
from salmu_references.sources import Pairs

#: Points of a loss curve.
POINTS = 200
#: Seconds in which a second signal is the same request: launchers send SIGTERM to a group, and to each process in it.
REPEATS = 5.0


class TrainingError(SalmuError):
    """A training that can't go on.

    Do what the message says; the last checkpoint is kept, and the same command goes on from there.
    """


class Stopped(Exception):
    """Somebody asked a training to stop, and its checkpoint is written; holds the steps done."""


@dataclass(frozen=True)
class Saving:
    """When to write checkpoints, and how many to keep."""

    steps: int
    minutes: float
    keep: int


@dataclass
class Notes:
    """What a training knows of itself, and keeps with its checkpoints."""

    seconds: float = 0.0
    unreadable: int = 0
    resumed_at: list[int] = field(default_factory=list)
    curve: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """One model to train.

    Attributes:
        role: Which of the two.
        record: Recipe, architecture and data.
        retain: The retain pairs.
        sensitive: The sensitive pairs; None for Clean.
        out: The pair's folder.
        workers: Processes that read ahead.
        piece: Pairs a process encodes at a time; 0 for all.
        saving: When to write checkpoints.
        command: What stands in the record as the command.
    """

    role: Role
    record: TrainingRecord
    retain: Pairs
    sensitive: Pairs | None
    out: Path
    workers: int
    piece: int
    saving: Saving
    command: tuple[str, ...]

    @property
    def cut(self) -> Cut:
        """Which pairs make up each batch."""
        recipe = self.record.recipe
        return Cut(recipe, self.retain, self.sensitive, recipe.total_steps(len(self.retain)))

    @property
    def keeper(self) -> Keeper:
        """Its checkpoints; they are cleared once its record says that it is done."""
        return Keeper(self.out / "checkpoints" / self.role, self.record.identity(self.role), self.saving.keep)


def train_model(job: Job, place: Place, reporter: Reporter) -> ModelRef:
    """Train a model and write its folder; every process calls this, the first one writes. Checkpoints stay.

    Raises:
        Stopped: It was asked to stop, and has written a checkpoint.
        TrainingError: The loss is not finite, or the processes don't see the same disk.
    """
    recipe, config, cut = job.record.recipe, job.record.config, job.cut
    keeper = job.keeper
    saved = keeper.latest()
    _agree(saved, place, job.out)
    model = new_model(config, recipe).to(place.device)
    preprocess = config["preprocess_cfg"]
    place.fresh()
    towers = Towers(model, preprocess["mean"], preprocess["std"]).to(place.device)
    trainer = SharedTrainer(towers, recipe, cut.steps, place, job.piece)
    notes = Notes()
    if saved is not None:
        keeper.restore(saved, trainer)
        notes = Notes(**saved.notes)
        notes.resumed_at.append(saved.step)
    tokenizer = plain_tokenizer(config)
    transform = train_transform(config, model.visual.image_size, recipe)
    batches = Batches(cut, transform, tokenizer, place.rank, place.world)
    _loop(job, trainer, keeper, batches, notes, saved.step if saved else 0, reporter)
    place.wait()
    weights = ""
    if place.rank == 0:
        with new_folder(job.out / job.role) as folder:
            weights = save_checkpoint(folder, model.eval(), config)
    place.wait()
    return ModelRef(
        weights=weights,
        steps=cut.steps,
        retain_samples=cut.steps * recipe.batch,
        sensitive_samples=cut.draws,
        unreadable=notes.unreadable,
        seconds=round(notes.seconds, 1),
        resumed_at=tuple(notes.resumed_at),
        curve=tuple((int(step), loss, scale) for step, loss, scale in notes.curve),
        peak_memory_bytes=peak_memory(place.device),
        environment=environment(place.device, recipe.precision or "no", "torchvision")
        | {"processes": str(place.world)},
        command=job.command,
    )


def _loop(
    job: Job, trainer: Trainer, keeper: Keeper, batches: Batches, notes: Notes, start: int, reporter: Reporter
) -> None:
    place, cut, saving = trainer.place, job.cut, job.saving
    # Reading a value from an accelerator waits for it, so there it is done less often.
    every = 1 if place.device.type == "cpu" else 10
    stride = max(1, math.ceil(cut.steps / POINTS / every)) * every
    begun = last_save = time.monotonic()
    before, since, seen, replaced = notes.seconds, start, 0, 0
    reporter.begin(f"{job.role} from step {start:,}" if start else job.role, "training")
    with _stoppable() as asked:
        for done, loss, batch in trainer.run(load(batches, cut, start, job.workers, place.device, place.world), start):
            seen += sum(batch.sizes)
            replaced += batch.replaced
            if done % every and done != cut.steps:
                continue
            now = time.monotonic()
            # The first process's clock decides, and whoever is asked to stop stops all.
            late = place.rank == 0 and now - last_save > 60 * saving.minutes
            state = torch.tensor([0.0, late, bool(asked), replaced], device=place.device)
            state[0] = loss
            value, due, stop, unreadable = place.mean(state).tolist()
            if not math.isfinite(value):
                raise TrainingError(
                    f"The loss of {job.role} is not finite at step {done}: the learning rate is too high, or the "
                    "precision too low. Start anew with another --set lr or --set precision, and another --out."
                )
            scale = math.exp(float(trainer.model.logit_scale.detach()))
            notes.seconds, notes.unreadable = before + now - begun, notes.unreadable + round(unreadable * place.world)
            replaced = 0
            if done == 1 or done // stride > since // stride or done == cut.steps:
                notes.curve.append([done, round(value, 5), round(scale, 3)])
            reporter.step(done - start, cut.steps - start, _figures(value, scale, seen, now - begun, done, start, cut))
            finished = done == cut.steps
            if not finished and (stop or due or done // saving.steps > since // saving.steps):
                if place.rank == 0:
                    keeper.save(done, trainer, dict(vars(notes)))
                place.wait()
                last_save = time.monotonic()
            since = done
            if stop and not finished:
                raise Stopped(done)


def _figures(
    value: float, scale: float, seen: int, seconds: float, done: int, start: int, cut: Cut
) -> dict[str, float]:
    left = seconds / (done - start) * (cut.steps - done)
    return {"loss": value, "scale": scale, "pairs/s": seen / max(seconds, 1e-9), "min left": left / 60}


def _agree(saved: Saved | None, place: Place, out: Path) -> None:
    # As float64, which has every step: the mean of equal numbers must be that number.
    kind = torch.float32 if place.device.type == "mps" else torch.float64  # which Apple's GPUs don't have
    own = torch.tensor([saved.step if saved else 0], dtype=kind, device=place.device)
    if place.mean(own.clone()).item() != own.item():
        raise TrainingError(f"The processes see different checkpoints: {out} must be on a disk that all of them see.")


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """A list that gets the signal when somebody asks to stop.

    Whoever presses Ctrl-C again does not want to wait, nor does whoever sends a signal again later. A SIGTERM soon
    after another signal is the same request: torchrun and Slurm tell every process twice.
    """
    asked: list[int] = []
    first = 0.0

    def hear(number: int, _: FrameType | None) -> None:
        nonlocal first
        if not asked:
            first = time.monotonic()
        elif number == signal.SIGINT or time.monotonic() - first > REPEATS:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
