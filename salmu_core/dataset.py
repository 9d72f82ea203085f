"""The released layout -> rows, splits and derived splits.

Parquet shards ``data/{split}-*.parquet`` with columns ``image`` (encoded bytes), ``text``,
``identity_id`` and ``file_name``, and JSON files beside ``data/``; see `salmu_core.layout`.

Two readers, on purpose: `read_training` opens nothing but what a method may see, `read_evaluation` opens
everything and is only called once no method runs any more.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from salmu_core import layout
from salmu_core.errors import BenchmarkError
from salmu_core.zeroshot import ZeroShot, read_zeroshot

Transform = Callable[[Image.Image], np.ndarray]
Index = np.ndarray


@dataclass(frozen=True)
class Rows:
    """Rows of one or more parquet shards, in file order.

    Attributes:
        name: The split they come from.
        captions: ``text`` of each row.
        identity_ids: The person shown, or None.
        file_names: Unique name of each image.
        encoded: Encoded image bytes of each row.
    """

    name: str
    captions: tuple[str, ...]
    identity_ids: tuple[str | None, ...]
    file_names: tuple[str, ...]
    encoded: Sequence[bytes] = field(repr=False)

    def __len__(self) -> int:
        return len(self.captions)


class Pixels:
    """Decoded, resized and cropped images of some rows, each decoded once, as uint8 ``[n, 3, h, w]``."""

    def __init__(self, rows: Rows, transform: Transform) -> None:
        self._rows = rows
        self._transform = transform
        self._done = np.zeros(len(rows), dtype=bool)
        self._pixels: np.ndarray | None = None

    def __call__(self, index: Index) -> Tensor:
        """The images at ``index`` ``[b]`` as a uint8 tensor ``[b, 3, h, w]``."""
        for i in index[~self._done[index]]:
            if not self._done[i]:
                pixels = self._decode(int(i))
                if self._pixels is None:
                    self._pixels = np.empty((len(self._rows), *pixels.shape), dtype=np.uint8)
                self._pixels[i] = pixels
                self._done[i] = True
        assert self._pixels is not None
        return torch.from_numpy(self._pixels[index])

    def _decode(self, i: int) -> np.ndarray:
        try:
            with Image.open(io.BytesIO(self._rows.encoded[i])) as image:
                return self._transform(image)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise BenchmarkError(
                f"image {self._rows.file_names[i]!r} of split {self._rows.name} can't be read: {error}"
            ) from error


@dataclass(frozen=True)
class TrainingData:
    """All that a method may see: the forget set and the retain set."""

    forget: Rows
    retain: Rows
    generic_captions: tuple[str, ...]
    """A caption without private data for each forget row's image."""


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
    zeroshot: ZeroShot | None

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

    def names(self, split: str) -> tuple[list[str], list[str | None]]:
        """File name and person (or None) of each row of any split."""
        if split == layout.ZEROSHOT:
            keys = list(self.zeroshot.keys) if self.zeroshot else []
            return keys, [None] * len(keys)
        rows, index = self.locate(split)
        return [rows.file_names[i] for i in index], [rows.identity_ids[i] for i in index]


def read_training(folder: Path) -> TrainingData:
    """Read the forget set and the retain set; no other file's rows are ever opened.

    Raises:
        BenchmarkError: A file is missing, damaged or lacks a column.
    """
    forget, retain = read_rows(folder, layout.FORGET), read_rows(folder, layout.RETAIN_SYNTH)
    generic = read_json(folder, layout.GENERIC_CAPTIONS)
    lacking = [name for name in forget.file_names if not isinstance(generic.get(name), str)]
    if lacking:
        raise BenchmarkError(f"{layout.GENERIC_CAPTIONS} has no caption for {lacking[0]!r}")
    return TrainingData(forget, retain, tuple(generic[name] for name in forget.file_names))


def read_evaluation(folder: Path, zeroshot: Path) -> EvaluationData:
    """Read all splits, their metadata and the zero-shot set.

    Raises:
        BenchmarkError: A file is missing, damaged or lacks a column.
    """
    base = {name: read_rows(folder, name) for name in layout.BASE_SPLITS}
    fragile = set(map(str, read_json(folder, layout.FRAGILE_IDS, list)))
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
        "retain_other": (
            layout.RETAIN_SYNTH,
            where(retain, lambda i, _: i is not None and i not in forgotten),
        ),
    }
    derived = {name: leaves[name] for name in layout.DERIVED_SPLITS if name in leaves}
    derived["retain_disjoint"] = (layout.RETAIN_SYNTH, where(retain, lambda i, _: i is None))
    return EvaluationData(
        base,
        derived,
        {name: leaf for name, leaf in leaves.items() if len(leaf[1])},
        read_json(folder, layout.IDENTITIES),
        read_json(folder, layout.CAPTIONS_METADATA),
        read_zeroshot(zeroshot) if zeroshot.is_dir() else None,
    )


def read_rows(folder: Path, split: str) -> Rows:
    """Read all shards of a split, in order of their names.

    Raises:
        BenchmarkError: There is no shard, a shard is damaged, or a column is missing or of another type.
    """
    shards = sorted((folder / "data").glob(f"{split}-*.parquet"))
    if not shards:
        raise BenchmarkError(f"{folder / 'data'} has no {split}-*.parquet")
    announced = {shard.stem.rpartition("-of-")[2] for shard in shards if "-of-" in shard.stem}
    if announced and announced != {f"{len(shards):05d}"}:
        raise BenchmarkError(
            f"{folder / 'data'} has {len(shards)} shards of {split}, their names speak of {', '.join(announced)}"
        )
    try:
        table = pa.concat_tables([pq.read_table(shard, columns=list(layout.COLUMNS)) for shard in shards])
        image = table["image"].combine_chunks()
        data = image.field("bytes") if pa.types.is_struct(image.type) else image
        texts, names = (table[column].cast(pa.string()).to_pylist() for column in ("text", "file_name"))
        ids = [None if i is None else str(i) for i in table["identity_id"].to_pylist()]
    except (pa.ArrowException, OSError, KeyError) as error:
        raise BenchmarkError(f"a shard of {split} in {folder / 'data'} can't be read: {error}") from error
    if not len(table):
        raise BenchmarkError(f"split {split} in {folder / 'data'} has no rows")
    if data.null_count or None in texts or None in names:
        raise BenchmarkError(f"split {split} in {folder / 'data'} has rows without image, text or file name")
    if split != layout.RETAIN_SYNTH and None in ids:
        raise BenchmarkError(f"split {split} in {folder / 'data'} has rows without identity_id")
    if len(set(names)) != len(names):
        raise BenchmarkError(f"split {split} in {folder / 'data'} has a file name more than once")
    return Rows(split, tuple(texts), tuple(ids), tuple(names), _Binary(data))


class _Binary(Sequence[bytes]):
    """An arrow binary column as a sequence of bytes, without a copy of the whole."""

    def __init__(self, column: Any) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, i: Any) -> Any:
        value: bytes = self._column[i].as_py()
        return value


def read_json(folder: Path, name: str, kind: type = dict) -> Any:
    """Read one of the layout's JSON files.

    Raises:
        BenchmarkError: It is missing, not JSON, or another kind of thing than it should be.
    """
    try:
        value = json.loads((folder / name).read_text(encoding="utf-8"))
        if not isinstance(value, kind):
            raise ValueError(f"it holds a {type(value).__name__}, not a {kind.__name__}")
        return value
    except FileNotFoundError:
        raise BenchmarkError(f"{folder / name} is missing") from None
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{folder / name} can't be read: {error}") from error
