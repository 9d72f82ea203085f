"""The released layout -> rows, splits and derived splits: shards, and JSON files beside ``data/``.

Two readers, on purpose: `read_training` hands over nothing but what a method may see, `read_evaluation` opens
everything and is only called once no method runs any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from salmu_core.benchmark.consistency import read_file
from salmu_core.benchmark.rows import Rows, read_rows
from salmu_core.benchmark.zeroshot import read_zeroshot
from salmu_core.contract import layout
from salmu_core.contract.features import Pairs
from salmu_core.contract.zeroshot import ZeroShot
from salmu_core.errors import BenchmarkError

Index = np.ndarray


@dataclass(frozen=True)
class TrainingData:
    """All that a method may see: the forget set and the retain set."""

    forget: Rows
    retain: Rows
    asked: Pairs
    """What the deletion request says of each forget row."""


@dataclass(frozen=True)
class EvaluationData:
    """Everything, for metrics: base splits, derived splits as row numbers, and the zero-shot set."""

    base: Mapping[str, Rows]
    derived: Mapping[str, tuple[str, Index]]
    """Split name -> (base split, row numbers)."""
    leaves: Mapping[str, tuple[str, Index]]
    """A partition of all rows that every split is a union of; what is encoded is encoded leaf by leaf."""
    identities: Mapping[str, Mapping[str, Any]]
    captions_metadata: Mapping[str, Mapping[str, Any]]
    generic_captions: Mapping[str, str]
    zeroshot: ZeroShot | None
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Metric -> settings that the benchmark has it computed with."""

    def locate(self, split: str) -> tuple[Rows, Index]:
        """The base rows and row numbers of any split.

        Raises:
            BenchmarkError: It has no row.
        """
        if split in self.derived:
            base, index = self.derived[split]
            if not len(index):
                raise BenchmarkError(f"split {split} has no rows in this benchmark")
            return self.base[base], index
        rows = self.base[split]
        return rows, np.arange(len(rows))

    def values(self, split: str) -> tuple[str | None, ...]:
        """What each row of a base split tells of its person; empty of a split that is not private."""
        private = split != layout.RETAIN_SYNTH
        return _told(self.identities, self.captions_metadata, self.base[split])[2] if private else ()

    def names(self, split: str) -> tuple[list[str], list[str | None]]:
        """File name and person (or None) of each row of any split."""
        if split == layout.ZEROSHOT:
            keys = list(self.zeroshot.keys) if self.zeroshot else []
            return keys, [None] * len(keys)
        rows, index = self.locate(split)
        return [rows.file_names[i] for i in index], [rows.identity_ids[i] for i in index]


def read_training(folder: Path, hashes: Mapping[str, str] | None = None) -> TrainingData:
    """Read the forget set and the retain set; no other shard is opened.

    Of the JSON files, which tell of every row, only what they say of forget rows is kept. They may lack facts, or be
    without people or captions altogether; the generic captions must be there.

    Args:
        folder: Where ``data/`` and the JSON files lie.
        hashes: SHA-256 of files by their path, where that is known (`Benchmark.hashes`).

    Raises:
        BenchmarkError: A file is missing, damaged or lacks a column.
    """
    forget, retain = (read_rows(folder, split, hashes) for split in (layout.FORGET, layout.RETAIN_SYNTH))
    names, fields, values = _facts(folder, forget)
    asked = Pairs(forget.captions, forget.identity_ids, _generic(folder, forget), names, fields, values)
    return TrainingData(forget, retain, asked)


def _generic(folder: Path, forget: Rows) -> tuple[str, ...]:
    generic = read_file(folder / layout.GENERIC_CAPTIONS)
    lacking = [name for name in forget.file_names if not isinstance(generic.get(name), str)]
    if lacking:
        raise BenchmarkError(f"{layout.GENERIC_CAPTIONS} has no caption for {lacking[0]!r}")
    return tuple(generic[name] for name in forget.file_names)


def _facts(folder: Path, forget: Rows) -> tuple[tuple[str | None, ...], ...]:
    """Name, field and value of each forget row; what the files say of others is let go here."""
    people, captions = (
        read_file(folder / name) if (folder / name).is_file() else {}
        for name in (layout.IDENTITIES, layout.CAPTIONS_METADATA)
    )
    return _told(people, captions, forget)


def _told(people: Mapping[str, Any], captions: Mapping[str, Any], table: Rows) -> tuple[tuple[str | None, ...], ...]:
    """Name, field and value of each row of a private split, as far as they are known."""
    rows = [
        (_entry(people, str(identity)), _entry(captions, file))
        for identity, file in zip(table.identity_ids, table.file_names, strict=True)
    ]
    names = tuple(_text(person.get("name")) for person, _ in rows) if people else ()
    if not captions:
        return names, (), ()
    fields = tuple(_text(fact.get("data_field")) for _, fact in rows)
    told = (person.get(str(field)) or fact.get("value") for field, (person, fact) in zip(fields, rows, strict=True))
    return names, fields, tuple(map(_text, told))


def _entry(metadata: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    entry = metadata.get(key)
    return entry if isinstance(entry, Mapping) else {}


def _text(told: object) -> str | None:
    """A fact as text; of a list, the first."""
    if isinstance(told, list):
        told = next(iter(told), None)
    return str(told) if told else None


def read_evaluation(
    folder: Path,
    zeroshot: Path,
    hashes: Mapping[str, str] | None = None,
    metrics: Mapping[str, Mapping[str, Any]] | None = None,
) -> EvaluationData:
    """Read all splits, their metadata and the zero-shot set.

    Args:
        folder: Where ``data/`` and the JSON files lie.
        zeroshot: Folder of the zero-shot set; need not be there.
        hashes: SHA-256 of files by their path, where that is known (`Benchmark.hashes`).
        metrics: Metric -> its settings here (`Sources.metrics`).

    Raises:
        BenchmarkError: A file is missing, damaged or lacks a column.
    """
    base = {name: read_rows(folder, name, hashes) for name in layout.BASE_SPLITS}
    fragile = set(map(str, read_file(folder / layout.FRAGILE_IDS, list)))
    forget, retain = base[layout.FORGET], base[layout.RETAIN_SYNTH]
    half = set(base[layout.HOLDOUT_ASSOCIATION].identity_ids)
    forgotten = set(forget.identity_ids)

    def where(rows: Rows, condition: Callable[[str | None, str], bool]) -> Index:
        pairs = zip(rows.identity_ids, rows.file_names, strict=True)
        return np.array([i for i, (identity, file) in enumerate(pairs) if condition(identity, file)], dtype=int)

    leaves = {
        "forget_identity": (layout.FORGET, where(forget, lambda i, _: i not in half)),
        "forget_association": (layout.FORGET, where(forget, lambda i, _: i in half)),
        "holdout_association": (layout.HOLDOUT_ASSOCIATION, np.arange(len(base[layout.HOLDOUT_ASSOCIATION]))),
        "holdout_identity": (layout.HOLDOUT_IDENTITY, np.arange(len(base[layout.HOLDOUT_IDENTITY]))),
        "retain_joint": (layout.RETAIN_SYNTH, where(retain, lambda i, _: i in forgotten)),
        "fragile_set": (layout.RETAIN_SYNTH, where(retain, lambda i, f: i is None and f in fragile)),
        "retain_rest": (layout.RETAIN_SYNTH, where(retain, lambda i, f: i is None and f not in fragile)),
        "retain_other": (layout.RETAIN_SYNTH, where(retain, lambda i, _: i is not None and i not in forgotten)),
    }
    derived = {name: leaves[name] for name in layout.DERIVED_SPLITS if name in leaves}
    derived["retain_disjoint"] = (layout.RETAIN_SYNTH, where(retain, lambda i, _: i is None))
    return EvaluationData(
        base,
        derived,
        {name: leaf for name, leaf in leaves.items() if len(leaf[1])},
        read_file(folder / layout.IDENTITIES),
        read_file(folder / layout.CAPTIONS_METADATA),
        read_file(folder / layout.GENERIC_CAPTIONS),
        read_zeroshot(zeroshot) if zeroshot.is_dir() else None,
        metrics or {},
    )
