"""Whom a benchmark shows: their associations, what is to be forgotten of them, and their portraits. Needs no torch."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from salmu_core.benchmark.consistency import read_file
from salmu_core.benchmark.folder import Benchmark
from salmu_core.benchmark.rows import Rows, read_rows
from salmu_core.contract.layout import CAPTIONS_METADATA, FORGET, HOLDOUT_ASSOCIATION, HOLDOUT_IDENTITY, IDENTITIES
from salmu_core.errors import BenchmarkError, UnknownNameError

PRIVATE = (FORGET, HOLDOUT_ASSOCIATION, HOLDOUT_IDENTITY)


class Group(StrEnum):
    """What is to happen to a person's associations."""

    FORGOTTEN = "forgotten"
    """All are to be forgotten."""
    HALF = "half-forgotten"
    """Some are to be forgotten, the others kept."""
    HELD_OUT = "held-out"
    """All are to be kept, and no method sees them."""


@dataclass(frozen=True)
class Association:
    """One sensitive pair.

    Attributes:
        split: Which one it is in.
        row: Its number there.
        file_name: Of its image.
        caption: The sentence.
        field: The attribute it tells (``phone_number``, ...); empty where the metadata don't say.
    """

    split: str
    row: int
    file_name: str
    caption: str
    field: str


@dataclass(frozen=True)
class Person:
    """One person, with all sensitive pairs in order of their splits.

    Attributes:
        facts: Entry of ``identities_metadata.json``.
    """

    identity_id: str
    group: Group
    associations: tuple[Association, ...]
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """As the metadata call the person; else the id."""
        return str(self.facts.get("name") or self.identity_id)


@dataclass(frozen=True)
class People:
    """Everybody in the sensitive splits of a benchmark.

    Attributes:
        by_id: Identity -> person.
        fields: File name -> attribute.
    """

    by_id: Mapping[str, Person]
    fields: Mapping[str, str]
    _rows: Mapping[str, Rows]

    def find(self, identity: str) -> Person:
        """A person by id, with or without leading zeros.

        Raises:
            UnknownNameError: There is none.
        """
        if not self.knows(identity):
            hint = "An identity is the number that file names begin with."
            raise UnknownNameError("identity", identity, list(self.by_id), hint)
        return self.by_id.get(identity) or self.by_id[_padded(identity)]

    def knows(self, identity: str) -> bool:
        """Whether there is such a person."""
        return identity in self.by_id or _padded(identity) in self.by_id

    def portrait(self, association: Association, pixels: int) -> str | None:
        """The image of an association as a ``data:`` address, no side longer than so many pixels; None if damaged."""
        return thumbnail(self._rows[association.split].encoded[association.row], pixels)


def _padded(identity: str) -> str:
    return identity.zfill(8) if identity.isdecimal() else identity


def read_people(benchmark: Benchmark) -> People:
    """Read the sensitive splits' captions and metadata; images stay in their files.

    Raises:
        BenchmarkError: A file is missing, damaged or lacks a column.
    """
    rows = {split: read_rows(benchmark.data, split, benchmark.hashes) for split in PRIVATE}
    captions, facts = (read_file(benchmark.data / name) for name in (CAPTIONS_METADATA, IDENTITIES))
    for file, entries in ((CAPTIONS_METADATA, captions), (IDENTITIES, facts)):
        for name, entry in entries.items():
            if not isinstance(entry, dict):
                raise BenchmarkError(f"{benchmark.data / file}: the entry of {name!r} is no object")
    fields = {name: str(entry["data_field"]) for name, entry in captions.items() if "data_field" in entry}
    owned: dict[str, list[Association]] = defaultdict(list)
    for split, table in rows.items():
        columns = zip(table.identity_ids, table.file_names, table.captions, strict=True)
        for row, (identity, name, caption) in enumerate(columns):
            assert identity is not None  # `read_rows` refuses it
            owned[identity].append(Association(split, row, name, caption, fields.get(name, "")))
    people = {
        identity: Person(identity, _group(owned[identity]), tuple(owned[identity]), facts.get(identity, {}))
        for identity in sorted(owned)
    }
    return People(people, fields, rows)


def _group(associations: list[Association]) -> Group:
    splits = {association.split for association in associations}
    if FORGET not in splits:
        return Group.HELD_OUT
    return Group.HALF if HOLDOUT_ASSOCIATION in splits else Group.FORGOTTEN


def thumbnail(encoded: bytes, pixels: int) -> str | None:
    """An image made small and encoded anew, as a ``data:`` address; None where it can't be decoded.

    What was encoded by others is not passed on: only its pixels are.
    """
    from PIL import ImageOps

    from salmu_core.clip.pictures import opened

    try:
        with opened(encoded, side=2 * pixels) as image:
            small = ImageOps.exif_transpose(image).convert("RGB")
        small.thumbnail((pixels, pixels))
        written = io.BytesIO()
        small.save(written, "WEBP", quality=72, method=6)
    except Exception:  # its EXIF data, too, are somebody else's
        return None
    return f"data:image/webp;base64,{base64.b64encode(written.getvalue()).decode()}"
