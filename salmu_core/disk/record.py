"""What all records have in common, and the seal of those that are believed."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from salmu_core.disk.hashing import EVERY_BYTE, Hashes, hash_file, hash_json


class Record(BaseModel):
    """Base of everything written as JSON: closed and immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileSeal(Record):
    """What a file was when it was written."""

    size: int
    """In bytes."""
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """A file's, all of which is read."""
        return cls(size=path.stat().st_size, sha256=hash_file(path))


class Sealed(Record):
    """Base of records that are believed, with the files beside them: whatever was changed in either since shows.

    A seal keeps mistakes and damage out, not somebody who makes another one.
    """

    files: dict[str, FileSeal] = Field(default_factory=dict)
    """Every other file of the unit, by its path in the folder."""
    seal: str = ""
    """SHA-256 of the canonical JSON (sorted keys, no spaces) of everything else in the record; not known until it is
    written."""

    def sha256_of(self, name: str) -> str | None:
        """Of a file's content, as hex; None if the unit has no such file."""
        return self.files[name].sha256 if name in self.files else None

    def as_text(self) -> str:
        """As it is written: indented JSON, with what it is sealed by at the end."""
        content = json.loads(self.model_dump_json(exclude={"seal"}))
        content["files"] = content.pop("files")
        return json.dumps({**content, "seal": seal_of(content)}, indent=2, ensure_ascii=False) + "\n"


def seal_of(content: Mapping[str, Any]) -> str:
    """The seal of a record as JSON has it, whether that holds one or not."""
    return hash_json({name: value for name, value in content.items() if name != "seal"})


def file_seals(folder: Path) -> dict[str, FileSeal]:
    """Of every file in a folder, by its path there."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): FileSeal.of(path) for path in paths}


def damage_of(folder: Path, record: Sealed, hashed: Hashes = EVERY_BYTE) -> str:
    """A sentence if a file is not what a record says; empty if all are."""
    for name, sealed in record.files.items():
        path = folder / name
        try:
            is_file = stat.S_ISREG((found := path.stat()).st_mode)
        except (OSError, ValueError):  # ValueError: no file can have such a name
            is_file = False
        if not is_file:
            return f"{path} is missing"
        if found.st_size != sealed.size or hashed(path) != sealed.sha256:
            return f"{path} is damaged (its size or hash is not the recorded one)"
    return ""
