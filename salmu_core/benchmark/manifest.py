"""Which files a benchmark consists of, their hashes, and whether they are still what they were."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from salmu_core.benchmark.sources import MANIFEST, SOURCES, Sources, part_path
from salmu_core.clip.name import CANARY, find_model
from salmu_core.contract.layout import JSON_FILES
from salmu_core.store.files import write_text
from salmu_core.store.hashing import hash_file
from salmu_core.store.stamps import Stamps


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
    for role in ("clean", "compromised"):
        model = find_model(getattr(sources, role), folder)
        if model.weights is not None:
            yield f"{role}/{model.weights.name}", model.weights
        elif model.folder is not None:
            roots[role] = model.folder
    for part, root in roots.items():
        yield from ((f"{part}/{path.relative_to(root)}", path) for path in _files(root))


def _files(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):  # a set on another disk is a link
        real = os.path.realpath(root)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if real not in seen else []
        for name in sorted(names) if real not in seen else ():
            path = Path(root, name)
            if path.is_file() and name not in (MANIFEST, CANARY) and not name.startswith("."):
                yield path
        seen.add(real)


def write_manifest(folder: Path) -> None:
    files = {str(p.relative_to(folder)): hash_file(p) for p in _files(folder)}
    write_text(folder / MANIFEST, json.dumps({"files": files}, indent=1) + "\n")


def read_manifest(folder: Path) -> dict[str, str]:
    files: dict[str, str] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    return files


def find_damage(folder: Path) -> str | None:
    """A sentence if a built folder is absent or not as it was written; file contents are all read."""
    if not folder.exists():
        return "building"
    try:
        expected = read_manifest(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return f"{folder} has no readable {MANIFEST}"
    present = {str(p.relative_to(folder)): p for p in _files(folder)}
    if missing := sorted(expected.keys() - present.keys()):
        return f"{folder / missing[0]} is missing"
    if extra := sorted(present.keys() - expected.keys()):
        return f"{folder / extra[0]} does not belong there"
    for path, sha256 in expected.items():
        if hash_file(present[path]) != sha256:
            return f"{folder / path} is damaged"
    return None


def file_hashes(folder: Path, sources: Sources, fresh: Mapping[Path, str] | None = None) -> dict[str, str]:
    """Hash every file of a benchmark, reading again only those that may have changed.

    Args:
        folder: The benchmark's.
        sources: Where its parts come from.
        fresh: Path -> hash, of files that have just been read.
    """
    just_read = fresh or {}
    with Stamps(folder) as stamps:
        return {
            name: stamps.hash_file(path, just_read.get(path.resolve())) for name, path in part_files(folder, sources)
        }
