"""Folders of results on their way between machines that share none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from salmu_core.disk.files import new_folder, replacing, visible_files
from salmu_core.store.attacks import ATTACKS
from salmu_core.store.folders import RUN

#: Path within a folder -> content.
Files = dict[str, bytes]


def read(folder: Path, known: Mapping[str, tuple[int, int]] | None = None, path: str = "") -> Files:
    """The files of a folder, but for those that are as they are known.

    Args:
        known: Their times and sizes, by path.
        path: What the folder is called there.
    """
    files: Files = {}
    for file in visible_files(folder):
        name, found = file.relative_to(folder).as_posix(), file.stat()
        if (found.st_mtime_ns, found.st_size) != (known or {}).get(f"{path}/{name}"):
            files[name] = file.read_bytes()
    return files


def lay(folder: Path, files: Files) -> None:
    """Write what belongs together whole or not at all: a run, an attack on it; of metrics, the record last.

    Raises:
        ValueError: A file would lie elsewhere.
        OSError: There is no room.
    """
    if any(PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts for name in files):
        raise ValueError(f"files that do not lie in {folder}")
    attacks: dict[str, Files] = {}
    rest: Files = {}
    for name, content in files.items():
        parts = PurePosixPath(name).parts
        if RUN not in files and len(parts) == 4 and parts[0] == ATTACKS:
            attacks.setdefault("/".join(parts[:3]), {})[parts[3]] = content
        else:
            rest[name] = content
    if RUN in rest:
        with new_folder(folder) as new:
            for name, content in rest.items():
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                (new / name).write_bytes(content)
    else:
        for name in sorted(rest, key=lambda name: (name.endswith(".json"), name)):
            with replacing(folder / name) as path:
                path.write_bytes(rest[name])
    for name, those in attacks.items():
        with new_folder(folder / name) as new:
            for file, content in those.items():
                (new / file).write_bytes(content)
