"""Checkpoints to go on from: weights and moments as safetensors, the rest as JSON, whole or not at all.

Order, crops and schedule are functions of the step, so nothing else has to be kept.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from salmu_core.disk.files import new_folder
from salmu_core.disk.hashing import hash_file
from salmu_core.disk.tensors import write_tensors
from salmu_core.errors import CheckpointError, UsageError
from salmu_core.train.pretraining import Trainer

MODEL, MOMENTS, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
_FORMAT = 1


@dataclass(frozen=True)
class Saved:
    """A checkpoint.

    Attributes:
        folder: Where it lies.
        step: Steps done.
        notes: What the training noted for itself.
    """

    folder: Path
    step: int
    notes: dict[str, Any]


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
        for folder in self._folders()[:1]:
            try:
                state = json.loads((folder / STATE).read_text(encoding="utf-8"))
                if state["format"] != _FORMAT:
                    raise CheckpointError(f"{folder} was written by another release of salmu: go on with that one.")
                if changed := differences(state["identity"], self._identity):
                    raise UsageError(
                        f"{folder} is of another training ({changed}). Give another --out, or delete {self._folder}."
                    )
                if any(hash_file(folder / name) != state["files"][name] for name in (MODEL, MOMENTS)):
                    raise ValueError("a hash is not the recorded one")
                return Saved(folder, int(state["step"]), dict(state["notes"]))
            except (OSError, ValueError, KeyError, TypeError) as error:
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
            files = {name: hash_file(folder / name) for name in (MODEL, MOMENTS)}
            state = {"format": _FORMAT, "step": step, "identity": self._identity, "files": files, "notes": notes}
            state["place"] = trainer.place.state()
            (folder / STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
        for old in self._folders()[self._keep :]:
            shutil.rmtree(old, ignore_errors=True)

    def restore(self, saved: Saved, trainer: Trainer) -> None:
        """Put a trainer where it was."""
        trainer.model.load_state_dict(load_file(saved.folder / MODEL))
        trainer.descent.restore(load_file(saved.folder / MOMENTS))
        trainer.place.restore(json.loads((saved.folder / STATE).read_text(encoding="utf-8"))["place"])

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
