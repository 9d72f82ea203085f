"""Whether what lies in the cache is what the hub has, and a whole benchmark: every byte is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from salmu_core.benchmark.consistency import read_file
from salmu_core.benchmark.manifest import Snapshot
from salmu_core.benchmark.shards import check_shards
from salmu_core.clip.name import CONFIG, SUFFIXES
from salmu_core.contract import layout
from salmu_core.contract.progress import Progress
from salmu_core.disk.hashing import hash_file
from salmu_core.errors import BenchmarkError

#: JSON file -> what it must hold. What fragile rows were chosen by is read by nothing.
JSON_KINDS: Mapping[str, type] = {
    layout.IDENTITIES: dict,
    layout.CAPTIONS_METADATA: dict,
    layout.GENERIC_CAPTIONS: dict,
    layout.FRAGILE_IDS: list,
}


def verify(snapshots: Sequence[Snapshot], name: str, progress: Progress) -> dict[Path, str]:
    """Read every file and hold it against the hub's digest.

    Args:
        name: The benchmark's name, for the remedy.

    Returns:
        File, links resolved -> SHA-256.

    Raises:
        BenchmarkError: A file is cut off or another one; all of them are named, with what to do.
    """
    total = max(1, sum(snapshot.size for snapshot in snapshots))
    done = 0
    hashes: dict[Path, str] = {}
    problems: list[str] = []
    for snapshot in snapshots:
        for path, file in snapshot.files.items():
            blob = (snapshot.folder / path).resolve()
            progress(f"checking {snapshot.repo_id}", done / total)
            size = blob.stat().st_size
            done += size
            sha256 = hashes[blob] = hash_file(blob)
            if file.size is not None and size != file.size:
                problems.append(f"{path} has {size:,} bytes, not {file.size:,} ({blob})")
            elif file.digest and file.digest != (sha256 if len(file.digest) == 64 else git_digest(blob)):
                problems.append(f"{path} is not the file the hub has: its hash is not {file.digest[:12]}... ({blob})")
    if problems:
        more = f", and {len(problems) - 5} more" * (len(problems) > 5)
        raise BenchmarkError(
            f"damaged: {'; '.join(problems[:5])}{more}. Delete {'this file' if len(problems) == 1 else 'these files'} "
            f"and run `salmu download {name}` again: it fetches nothing else"
        )
    return hashes


def git_digest(path: Path) -> str:
    """The git blob SHA-1 of a file, as hex: how the hub names what is not in its large-file storage."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def check_contents(snapshots: Mapping[str, Snapshot]) -> None:
    """The data have their splits and JSON files, the models their configuration and weights.

    Args:
        snapshots: ``data``, ``clean`` and ``compromised``.

    Raises:
        BenchmarkError: Something is missing or can't be read.
    """
    data = snapshots["data"]
    shards = [path.removeprefix("data/") for path in data.files if path.startswith("data/")]
    for split in layout.BASE_SPLITS:
        check_shards(data.folder / "data", split, shards)
    for file, kind in JSON_KINDS.items():
        read_file(data.folder / file, kind)
    for role in layout.ROLES:
        model = snapshots[role]
        if "model_cfg" not in read_file(model.folder / CONFIG):
            raise BenchmarkError(f"{model.folder / CONFIG} describes no open_clip model: it has no model_cfg")
        if not any(path.endswith(SUFFIXES) for path in model.files):
            raise BenchmarkError(f"{model.repo_id} lacks its weights in {model.folder}")
