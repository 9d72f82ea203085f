"""Which files a benchmark consists of, their hashes, and whether they are still what they were: ``manifest.json``."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from salmu_core.benchmark.sources import SOURCES, Sources, part_path
from salmu_core.clip.name import CANARY, find_model
from salmu_core.contract.layout import JSON_FILES, MANIFEST, ROLES
from salmu_core.disk.file_hashes import Stamps
from salmu_core.disk.files import write_text
from salmu_core.disk.reading import read_json
from salmu_core.disk.record import FileSeal, Sealed, damage_of, seal_of
from salmu_core.errors import BenchmarkError, FileError


class HubFile(NamedTuple):
    """What a hub says of a file: its size in bytes, and its SHA-256 (64 digits) or git blob SHA-1 (40 digits)."""

    size: int | None
    digest: str | None


class Snapshot(BaseModel):
    """A repository of a hub at a commit, in the cache of the hub's client.

    Attributes:
        repo_id: ``OWNER/NAME``.
        declared: The revision that the benchmark's plugin names.
        revision: The one that was asked for.
        commit: What it was resolved to, 40 digits.
        folder: Where its files lie.
        files: Path of each wanted file -> what the hub says of it.
        fetched: How many of them have come from the hub just now; not kept.
    """

    model_config = ConfigDict(frozen=True)

    repo_id: str
    declared: str
    revision: str
    commit: str
    folder: Path
    files: dict[str, HubFile]
    fetched: int = Field(default=0, exclude=True)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum((self.folder / path).stat().st_size for path in self.files)

    @property
    def unverified(self) -> int:
        """How many files there are whose digest nobody tells."""
        return sum(file.digest is None for file in self.files.values())


class Manifest(Sealed):
    """``manifest.json``: what a benchmark was when it was built or downloaded.

    Attributes:
        files: Of a built one, every file by its path; of a release, wherever a part lies, by part and path within it.
        pinned: Of a release: role -> what lies in the cache.
        zeroshot: Of a release: folder of the zero-shot set that was brought.
    """

    pinned: dict[str, Snapshot] = Field(default_factory=dict)
    zeroshot: str | None = None


def read_manifest(folder: Path) -> Manifest:
    """What a benchmark folder was when it was made.

    Raises:
        BenchmarkError: It says nothing that can be read.
    """
    try:
        content = read_json(folder / MANIFEST)
        if content.get("seal") != seal_of(content):
            raise BenchmarkError(f"{folder / MANIFEST} is damaged: its seal is not that of its content")
        return Manifest.model_validate(content)
    except (FileError, ValidationError) as error:
        raise BenchmarkError(f"{folder} has no readable {MANIFEST}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json``, whole or not at all, and only where it says something else than before."""
    path, text = folder / MANIFEST, manifest.as_text()
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def part_files(folder: Path, sources: Sources) -> Iterator[tuple[str, Path]]:
    """Name and path of every file a benchmark consists of, wherever its parts lie."""
    if (folder / SOURCES).is_file():
        yield SOURCES, folder / SOURCES
    data = part_path(folder, sources.data)
    for path in [*sorted((data / "data").glob("*.parquet")), *(data / name for name in JSON_FILES)]:
        if path.is_file():
            yield str(path.relative_to(data)), path
    zeroshot = part_path(folder, sources.zeroshot)
    for path in [
        *sorted(zeroshot.glob("*.txt")),
        zeroshot / "test" / "nshards.txt",
        *sorted(zeroshot.glob("test/*.tar")),
    ]:
        if path.is_file():
            yield f"zeroshot/{path.relative_to(zeroshot)}", path
    roots = {}
    for role in ROLES:
        model = find_model(getattr(sources, role), folder)
        if model.weights is not None:
            yield f"{role}/{model.weights.name}", model.weights
        elif model.folder is not None:
            roots[role] = model.folder
    for part, root in roots.items():
        yield from ((f"{part}/{path.relative_to(root)}", path) for path in _files(root))


def _files(folder: Path, leave_out: Collection[str] = (MANIFEST, CANARY)) -> Iterator[Path]:
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):  # a set on another disk is a link
        real = os.path.realpath(root)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if real not in seen else []
        for name in sorted(names) if real not in seen else ():
            path = Path(root, name)
            if path.is_file() and name not in leave_out and not name.startswith("."):
                yield path
        seen.add(real)


def manifest_of(folder: Path) -> Manifest:
    """What a folder is that was just built: all of its files, the models' canaries too."""
    return Manifest(files={name: FileSeal.of(path) for name, path in _built(folder).items()})


def _built(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in _files(folder, (MANIFEST,))}


def find_damage(folder: Path) -> str | None:
    """A sentence if a built folder is absent or not as it was written; file contents are all read."""
    if not folder.exists():
        return "building"
    try:
        manifest = read_manifest(folder)
    except BenchmarkError as error:
        return str(error)
    if extra := sorted(_built(folder).keys() - manifest.files.keys()):
        return f"{folder / extra[0]} does not belong there"
    return damage_of(folder, manifest) or None


def file_hashes(folder: Path, sources: Sources, fresh: Mapping[Path, str] | None = None) -> dict[str, str]:
    """Hash every file of a benchmark, reading again only those that may have changed.

    Args:
        fresh: Path -> hash, of files that have just been read.
    """
    just_read = fresh or {}
    with Stamps(folder) as stamps:
        return {name: stamps(path, just_read.get(path.resolve())) for name, path in part_files(folder, sources)}
