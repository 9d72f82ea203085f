"""Checkpoints to go on from: weights and moments as safetensors, the rest as JSON, whole or not at all.

Order, crops and schedule are functions of the step, so nothing else has to be kept.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from salmu_core.disk.files import new_folder, sweep
from salmu_core.disk.reading import read_json
from salmu_core.disk.record import Sealed, damage_of, file_seals, seal_of
from salmu_core.disk.tensors import write_tensors
from salmu_core.errors import CheckpointError, FileError, UsageError
from salmu_core.train.pretraining import Trainer

MODEL, MOMENTS, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
_FORMAT = 2


class _State(Sealed):
    """``state.json``."""

    format: int = _FORMAT
    step: int
    identity: dict[str, Any]
    notes: dict[str, Any]
    place: dict[str, Any]


@dataclass(frozen=True)
class Saved:
    """A checkpoint.

    Attributes:
        folder: Where it lies.
        step: Steps done.
        notes: What the training noted for itself.
        place: Random states and such of the place it ran in.
    """

    folder: Path
    step: int
    notes: dict[str, Any]
    place: dict[str, Any]


class Keeper:
    """The checkpoints of one model's training.

    Args:
        folder: Where they lie.
        identity: What a checkpoint must agree with: recipe, architecture and data.
        keep: How many to keep.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], keep: int) -> None:
        self._folder, self._identity, self._keep = folder, identity, keep

    def latest(self) -> Saved | None:
        """The newest checkpoint, or None if there is none.

        Raises:
            UsageError: It is of another recipe or of other data.
            CheckpointError: It is damaged.
        """
        if self._folder.is_dir():
            sweep(self._folder)
        for folder in self._folders()[:1]:
            try:
                content = read_json(folder / STATE)
                whole = content.get("seal") == seal_of(content)
                if content["format"] != _FORMAT and (whole or "seal" not in content):
                    raise CheckpointError(f"{folder} was written by another release of salmu: go on with that one.")
                if not whole:
                    raise ValueError(f"the seal of {STATE} is not that of its content")
                state = _State.model_validate(content)
                if changed := differences(state.identity, self._identity):
                    raise UsageError(
                        f"{folder} is of another training ({changed}). Give another --out, or delete {self._folder}."
                    )
                if damage := damage_of(folder, state):
                    raise ValueError(damage)
                return Saved(folder, state.step, state.notes, state.place)
            except (FileError, ValueError, KeyError) as error:
                raise CheckpointError(
                    f"{folder} is damaged ({error}): delete it; the same command goes on from the one before."
                ) from error
        return None

    def save(self, step: int, trainer: Trainer, notes: dict[str, Any]) -> None:
        """Write a checkpoint and drop those that are too old."""
        with new_folder(self._folder / f"step-{step:09d}") as folder:
            weights = {name: value.detach().cpu().clone() for name, value in trainer.model.state_dict().items()}
            write_tensors(folder / MODEL, weights)
            moments = {name: value.detach().cpu().clone() for name, value in trainer.descent.state().items()}
            write_tensors(folder / MOMENTS, moments)
            facts = {"step": step, "identity": self._identity, "notes": notes, "place": trainer.place.state()}
            state = _State(files=file_seals(folder), **facts)
            (folder / STATE).write_text(state.as_text(), encoding="utf-8")
        for old in self._folders()[self._keep :]:
            shutil.rmtree(old, ignore_errors=True)

    def restore(self, saved: Saved, trainer: Trainer) -> None:
        """Put a trainer where it was."""
        trainer.model.load_state_dict(load_file(saved.folder / MODEL))
        trainer.descent.restore(load_file(saved.folder / MOMENTS))
        trainer.place.restore(saved.place)

    def clear(self) -> None:
        """Delete all of them: the model is done."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):  # the other model's may be there
            self._folder.parent.rmdir()

    def _folders(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"), reverse=True)


def differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Which settings differ, in words; empty if none does."""
    changes = []
    for key in sorted({*there, *here}):
        a, b = there.get(key), here.get(key)
        if a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            changes.append(differences(a, b))
        elif isinstance(a, str) and isinstance(b, str) and len(a) == len(b) == 64:
            changes.append(f"other {key} pairs")
        else:
            changes.append(f"{key} is {a} there and {b} here")
    return "; ".join(changes)
