"""``training.json``: how a pair came about. Readable without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from filelock import FileLock
from pydantic import Field

from salmu_core.contract.layout import Role
from salmu_core.disk.record import Record
from salmu_core.errors import UsageError
from salmu_core.store.folders import read_record, write_record
from salmu_references.recipe import Recipe
from salmu_references.resume import differences

if TYPE_CHECKING:
    from salmu_references.sources import Pairs

TRAINING = "training.json"
#: Raised whenever a field of it changes its meaning; it has nothing to do with the schema of runs.
SCHEMA = 1


class PartRef(Record):
    """A tar file, or one split of a folder."""

    name: str
    sha256: str
    pairs: int
    left_out: int
    """Samples without image or without caption."""


class SetRef(Record):
    """A set of pairs."""

    pairs: int
    content: str
    """SHA-256 over the parts' contents, in their order."""
    parts: tuple[PartRef, ...]

    @classmethod
    def of(cls, pairs: Pairs) -> SetRef:
        """What stands in the record of a set."""
        parts = [PartRef(name=p.name, sha256=p.sha256, pairs=p.pairs, left_out=p.left_out) for p in pairs.parts]
        return cls(pairs=len(pairs), content=pairs.content, parts=tuple(parts))


class ModelRef(Record):
    """One finished model."""

    weights: str
    """SHA-256 of its file of weights."""
    steps: int
    retain_samples: int
    """Retain pairs seen, repeats counted."""
    sensitive_samples: int
    unreadable: int
    """Images that could not be read; the next pair of the shard was seen in their place."""
    seconds: float
    """Wall time of training, over all times it was taken up."""
    resumed_at: tuple[int, ...]
    """Steps it was taken up at after a stop."""
    curve: tuple[tuple[int, float, float], ...]
    """(steps done, loss of that step, inverse temperature)."""
    peak_memory_bytes: int
    """Highest memory of the first process: allocated on the accelerator, or resident on a CPU."""
    environment: dict[str, str]
    command: tuple[str, ...]


class TrainingRecord(Record):
    """``training.json``."""

    schema_version: int = SCHEMA
    recipe: Recipe
    config: dict[str, Any]
    """Content of ``open_clip_config.json``."""
    retain: SetRef
    sensitive: SetRef | None = None
    models: dict[str, ModelRef] = Field(default_factory=dict)

    def identity(self, role: Role) -> dict[str, Any]:
        """What decides one model, and a checkpoint of it must agree with."""
        data = {"retain": self.retain.content}
        if role == "compromised" and self.sensitive is not None:
            data["sensitive"] = self.sensitive.content
        # The same file may be called otherwise; what is in it is compared.
        return {**self.recipe.model_dump(mode="json", exclude={"arch"}), **self.config, **data}


def begin(out: Path, wanted: TrainingRecord) -> TrainingRecord:
    """The record of a folder that is new, or holds the same training already.

    Args:
        out: The folder.
        wanted: The record of what is asked for.

    Raises:
        UsageError: The folder holds something else.
        StoreError: The record in it can't be read.
    """
    there = read_record(out / TRAINING, TrainingRecord)
    if there is None:
        if out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
            raise UsageError(f"{out} holds something, and no {TRAINING}: give a new folder to --out.")
        return wanted
    roles = [role for role in get_args(Role) if role == "clean" or (wanted.sensitive and there.sensitive)]
    for role in roles:
        if changed := differences(there.identity(role), wanted.identity(role)):
            raise UsageError(f"{out} holds another training: {changed}. Give another --out, or the settings it has.")
    return there.model_copy(update={"sensitive": there.sensitive or wanted.sensitive})


def write(out: Path, record: TrainingRecord, role: Role | None = None, model: ModelRef | None = None) -> None:
    """Write the record, keeping what another process that trains the other model has written meanwhile."""
    with FileLock(out / ".training.lock"):
        there = read_record(out / TRAINING, TrainingRecord)
        models = {**record.models, **(there.models if there else {})}
        if role and model:
            models[role] = model
        sensitive = record.sensitive or (there.sensitive if there else None)
        write_record(out / TRAINING, record.model_copy(update={"models": models, "sensitive": sensitive}))
