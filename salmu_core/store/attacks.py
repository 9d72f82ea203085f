"""What attacks on a checkpoint brought back: ``attacks/<attack>/<config hash>/`` in the folder of a run or reference.

Each holds ``attack.json`` and ``per_row.parquet``, both or neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from salmu_core.disk.hashing import EVERY_BYTE, Hashes, hash_json
from salmu_core.disk.record import Record, Sealed
from salmu_core.errors import StoreError
from salmu_core.store.folders import AGAIN, read_unit
from salmu_core.store.records import BenchmarkRef, FitRecord, Ledger, MetricEntry, PluginRef, Status
from salmu_core.store.schema import SCHEMA

ATTACKS = "attacks"
ATTACK = "attack.json"
#: Of an attack of several queries, readings or stages, the column of its rows that has the label of each.
QUERY = "query"

#: As of a run; or the benchmark has nothing for the attack, which is nobody's mistake.
AttackStatus = Literal[Status, "not-measured"]
NOT_MEASURED: AttackStatus = "not-measured"

#: Name of an attack and the beginning of its configuration's hash.
AttackKey = tuple[str, str]


class LeakedRef(Record):
    """Which forget rows an attacker held."""

    rows: int = 0
    people: int = 0
    """Whom they show."""
    digest: str = ""
    """Hash of the rows' file names; empty where nothing leaked."""


class AttackRecord(Sealed):
    """``attack.json``: everything needed to say what was tried on a checkpoint, what came of it, and to do it again."""

    schema_version: int = SCHEMA
    status: AttackStatus
    reason: str = ""
    """For an attack that is not valid: what is wrong, in a sentence."""
    benchmark: BenchmarkRef
    attack: str
    plugin: PluginRef
    kind: str
    """``model``, ``query`` or ``readout``."""
    given: tuple[str, ...]
    """What the attacker held beside the checkpoint."""
    config: dict[str, Any]
    config_hash: str
    seed: int
    checkpoint_hash: str
    """SHA-256 of the weights that were attacked."""
    leaked: LeakedRef
    metrics: dict[str, MetricEntry] = Field(default_factory=dict)
    """Over the forget rows that are scored, of several queries, readings or stages those of the one that leads; none
    unless valid."""
    leaks: tuple[str, ...] = ()
    """Figures among them that tell what is recovered, the leading one first."""
    computed_by: dict[str, str]
    """Metric that was to be computed -> SHA-256 of its code."""
    details: dict[str, Any] = Field(default_factory=dict)
    """Of several queries, readings or stages, the figures of each; what a readout says of itself."""
    not_measured: dict[str, str] = Field(default_factory=dict)
    """Label of a query, reading or stage that the benchmark or the model has nothing for -> why, in a sentence."""
    fits: tuple[FitRecord, ...] = ()
    """The calls of the training loop, in order."""
    scalars: dict[str, list[tuple[int, float]]] = Field(default_factory=dict)
    ledger: Ledger
    """What it cost the attacker; leaked pairs are counted as forget pairs."""
    environment: dict[str, str]
    seconds: float
    """Wall time, scoring included."""
    started: str
    """UTC, ISO 8601."""


def attack_folder(owner: Path, key: AttackKey) -> Path:
    """Where an attack lies, or will.

    Args:
        owner: Folder of the run, or of the reference model, that is attacked.
    """
    return owner.joinpath(ATTACKS, *key)


def attack_folders(owner: Path) -> Iterator[Path]:
    """All attacks on a checkpoint, in order of their paths."""
    for path in sorted((owner / ATTACKS).glob(f"*/*/{ATTACK}")):
        if not path.parent.name.startswith("."):
            yield path.parent


def read_attack(folder: Path, hashed: Hashes = EVERY_BYTE) -> AttackRecord | None:
    """The record of an attack, or None if there is none; the files beside it are checked against it.

    Raises:
        StoreError: A file can't be read or isn't the one that was written, or they belong elsewhere.
    """
    record = read_unit(folder / ATTACK, AttackRecord, hashed)
    if record is not None:
        placed = folder.parts[-2:] == (record.attack, record.config_hash[:12])
        if not placed or hash_json(record.config) != record.config_hash:
            raise StoreError(f"{folder / ATTACK} is not of the attack whose folder it lies in: {AGAIN}")
    return record
