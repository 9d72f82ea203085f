"""Which files a benchmark consists of, their hashes, and whether they are still what they were."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from salmu_core.benchmark.sources import MANIFEST, SOURCES, Sources, part_path
from salmu_core.clip.name import CANARY, find_model
from salmu_core.contract.layout import JSON_FILES
from salmu_core.machine import cache_folder
from salmu_core.store.files import write_text
from salmu_core.store.hashing import hash_file, hash_text


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


def _entry(path: Path, sha256: str) -> dict[str, Any]:
    stat = path.stat()
    return {"path": str(path.resolve()), "sha256": sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


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
    """Hash every file of a benchmark, reading again only those whose size or time has changed."""
    stamp = cache_folder() / "hashes" / f"{hash_text(str(folder))[:16]}.json"
    try:
        known: dict[str, dict[str, Any]] = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    entries: dict[str, dict[str, Any]] = {}
    for name, path in part_files(folder, sources):
        old = known.get(name, {})
        just_read = (fresh or {}).get(path.resolve())
        same = not just_read and bool(old) and _entry(path, str(old.get("sha256"))) == old
        entries[name] = old if same else _entry(path, just_read or hash_file(path))
    if entries != known:
        write_text(stamp, json.dumps(entries, indent=1))
    return {name: entry["sha256"] for name, entry in entries.items()}
