"""Reads what attacks on one checkpoint brought back, beside what it leaked before, of the same rows. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from salmu_core.disk.hashing import Hashes
from salmu_core.errors import SalmuError
from salmu_core.judge.figures import ROUNDING
from salmu_core.judge.statistics import Clusters, Floats
from salmu_core.store.attacks import ATTACK, NOT_MEASURED, QUERY, AttackKey, AttackRecord, attack_folders, read_attack
from salmu_core.store.folders import RANK
from salmu_core.store.records import INVALID, MetricsRecord
from salmu_core.store.schema import ROWS

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Attacked:
    """An attack on one checkpoint, over the forget rows that are scored.

    Attributes:
        record: Its record; None where it is damaged.
        status: ``valid``, or what is wrong.
        reason: What is wrong, in a sentence.
        after: Figure -> its rows under the attack; the leading one first.
        before: Figure -> the same rows without an attack; without those that are not measured.
        ranks: Of the captions under the attack, by the leading figure's metric ``[n]``; None where it has none.
        queries: Of an attack that has several queries or stages, what each brings by itself.
    """

    record: AttackRecord | None
    status: str
    reason: str = ""
    after: Mapping[str, Clusters] = field(default_factory=dict)
    before: Mapping[str, Clusters] = field(default_factory=dict)
    ranks: Floats | None = None
    queries: Mapping[str, Attacked] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Whether it has a result, or the benchmark nothing for it."""
        return self.status in ("valid", NOT_MEASURED)

    @property
    def not_measured(self) -> Mapping[str, str]:
        """Query, reading or stage that there is nothing for -> why."""
        return self.record.not_measured if self.record else {}

    @property
    def made_of(self) -> Any:
        """What has to be the same of attacks that are held against one another: rows, data, code and queries."""
        record = self.record
        code = record and (record.plugin.code_hash, _leaks_by(record))
        return record and (record.leaked.digest, record.benchmark, code, {*self.queries, *self.not_measured})

    def as_json(self) -> dict[str, Any]:
        """As ``salmu results --json`` prints it."""
        record = self.record
        return {
            "status": self.status,
            "reason": self.reason,
            "config": record.config if record else None,
            "kind": record.kind if record else None,
            "given": list(record.given) if record else None,
            "leaked": record.leaked.model_dump() if record else None,
            "values": {x: v for entry in record.metrics.values() for x, v in entry.values.items()} if record else {},
            "details": record.details if record else {},
            "not_measured": dict(self.not_measured),
            "ledger": record.ledger.model_dump() if record else None,
            "seconds": record.seconds if record else None,
        }


def attacks_json(attacks: Mapping[AttackKey, Attacked]) -> list[dict[str, Any]]:
    """As ``salmu results --json`` prints them, of a run or a reference model."""
    return [{"attack": name, "config_hash": digest, **it.as_json()} for (name, digest), it in attacks.items()]


def read_attacks(owner: Path, scored: MetricsRecord, hashed: Hashes) -> dict[AttackKey, Attacked]:
    """All attacks on a checkpoint; damaged ones, and those that do not go with its figures, say so.

    Args:
        owner: Folder of the run or reference model.
        scored: Its figures without an attack; the tables beside them have been checked.
        hashed: What hashes the tables.
    """
    return {
        (folder.parts[-2], folder.parts[-1]): _attacked(owner, folder, scored, hashed)
        for folder in attack_folders(owner)
    }


def _leaks_by(record: AttackRecord) -> dict[str, str]:
    """Metric that tells what leaks -> SHA-256 of its code."""
    return {name: entry.code_hash for name, entry in record.metrics.items() if {*entry.values} & {*record.leaks}}


def _attacked(owner: Path, folder: Path, scored: MetricsRecord, hashed: Hashes) -> Attacked:
    try:
        record = read_attack(folder, hashed)
    except SalmuError as error:
        return Attacked(None, "damaged", str(error))
    assert record is not None  # the folder was found by this very file
    if record.checkpoint_hash != scored.checkpoint_hash:
        return Attacked(record, "outdated", "it was made on another checkpoint than lies there now: run it again")
    if record.status != "valid":
        return Attacked(record, record.status, record.reason or INVALID[record.status])
    there = {name: entry.code_hash for name, entry in scored.metrics.items()}
    if record.benchmark.data_hash != scored.data_hash or not _leaks_by(record).items() <= there.items():
        why = "it was scored on other data, or by other code, than what it leaks without an attack: run it again"
        return Attacked(record, "outdated", why)
    import pyarrow.compute as pc

    table, own = _read(folder, record), _by_column(record, _read(owner, record))
    if QUERY not in table.column_names:
        return _agreeing(folder, record, _found(record, table, own))
    labels = dict.fromkeys(table[QUERY].to_pylist())
    found = {label: _found(record, table.filter(pc.field(QUERY) == label), own) for label in labels}
    first = replace(next(iter(found.values())), queries=found)
    return _agreeing(folder, record, first, found.get(record.details.get("worst", "")))


def _agreeing(folder: Path, record: AttackRecord, found: Attacked, leading: Attacked | None = None) -> Attacked:
    """What was found, unless a figure of the record is not the mean of its rows, of queries the worst one's."""
    values = {column: value for entry in record.metrics.values() for column, value in entry.values.items()}
    for column, rows in (leading or found).after.items():
        if not math.isclose(rows.mean, values[column], rel_tol=ROUNDING, abs_tol=ROUNDING):
            why = f"{folder / ATTACK} says that {column} is {values[column]:g}, and its rows that it is {rows.mean:g}"
            return Attacked(None, "damaged", f"{why}: delete {folder} and run again")
    return found


def _found(record: AttackRecord, table: pa.Table, own: Mapping[str, Mapping[str, float]]) -> Attacked:
    """What rows under an attack say, beside the checkpoint's own."""
    people = dict(zip(table["file_name"].to_pylist(), table["identity_id"].to_pylist(), strict=True))
    after, before = {}, {}
    under = _by_column(record, table)
    ranks = under.pop(RANK)
    for column, values in under.items():
        after[column] = Clusters.of([*values.values()], [people[name] for name in values])
        if values.keys() <= own[column].keys():
            before[column] = Clusters.of([own[column][name] for name in values], [people[name] for name in values])
    return Attacked(record, "valid", "", after, before, np.array([*ranks.values()]) if ranks else None)


def _by_column(record: AttackRecord, table: pa.Table) -> dict[str, dict[str, float]]:
    """Figure that tells what leaks -> file name -> value, in the table's order; then the ranks of the leading one."""
    metric_of = {column: name for name, entry in record.metrics.items() for column in entry.values}
    found = {column: _values(table, metric_of[column], column) for column in record.leaks}
    return found | {RANK: _values(table, metric_of[record.leaks[0]], RANK)}


def _read(folder: Path, record: AttackRecord) -> pa.Table:
    """Rows of the figures that tell what leaks."""
    import pyarrow.parquet as pq

    columns = {"metric", "column", "file_name", "identity_id", "value", QUERY} & {*pq.read_schema(folder / ROWS).names}
    wanted = [("metric", "in", sorted(record.metrics)), ("column", "in", [*record.leaks, RANK])]
    return pq.read_table(folder / ROWS, columns=sorted(columns), filters=wanted)


def _values(table: pa.Table, metric: str, column: str) -> dict[str, float]:
    """File name -> value, in the table's order."""
    import pyarrow.compute as pc

    lines = table.filter((pc.field("metric") == metric) & (pc.field("column") == column))
    return dict(zip(lines["file_name"].to_pylist(), lines["value"].to_pylist(), strict=True))
