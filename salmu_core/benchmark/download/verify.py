"""Whether what lies in the cache is what the hub has, and a whole benchmark: every byte is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from salmu_core.benchmark.download.hub import Snapshot
from salmu_core.contract import layout
from salmu_core.contract.progress import Progress
from salmu_core.errors import BenchmarkError
from salmu_core.store.hashing import hash_file

CONFIG = "open_clip_config.json"
WEIGHTS = (".safetensors", ".bin")
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
        snapshots: What to read.
        name: The benchmark's name, for the remedy.
        progress: Told of each file.

    Returns:
        File, links resolved -> SHA-256.

    Raises:
        BenchmarkError: A file is cut off or another one; all of them are named, with what to do.
    """
    total = max(1, sum(snapshot.size for snapshot in snapshots))
    done, found, problems = 0, {}, []
    for snapshot in snapshots:
        for path, file in snapshot.files.items():
            lies = (snapshot.folder / path).resolve()
            progress(f"checking {snapshot.repo.repo_id}", done / total)
            size = lies.stat().st_size
            done += size
            sha256 = found[lies] = hash_file(lies)
            if file.size is not None and size != file.size:
                problems.append((lies, f"{path} has {size:,} bytes, not {file.size:,}"))
            elif file.digest and file.digest != (sha256 if len(file.digest) == 64 else git_digest(lies)):
                problems.append((lies, f"{path} is not the file the hub has: its hash is not {file.digest[:12]}..."))
    if problems:
        said = "; ".join(f"{text} ({lies})" for lies, text in problems[:5])
        more = f", and {len(problems) - 5} more" * (len(problems) > 5)
        raise BenchmarkError(
            f"damaged: {said}{more}. Delete {'this file' if len(problems) == 1 else 'these files'} and run "
            f"`salmu download {name}` again: it fetches nothing else"
        )
    return found


def git_digest(path: Path) -> str:
    """The git blob SHA-1 of a file, as hex: how the hub names what is not in its large-file storage."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def check_parts(snapshots: Mapping[str, Snapshot]) -> None:
    """The data have their splits and JSON files, the models their configuration and weights.

    Args:
        snapshots: ``data``, ``clean`` and ``compromised``.

    Raises:
        BenchmarkError: Something is missing or can't be read.
    """
    data = snapshots["data"]
    for split in layout.BASE_SPLITS:
        if not any(path.startswith(f"data/{split}-") for path in data.files):
            raise BenchmarkError(f"{data.repo.repo_id} lacks data/{split}-*.parquet in {data.folder}")
    for file, kind in JSON_KINDS.items():
        _read_json(data, file, kind)
    for role in ("clean", "compromised"):
        model = snapshots[role]
        if "model_cfg" not in _read_json(model, CONFIG, dict):
            raise BenchmarkError(f"{model.folder / CONFIG} describes no open_clip model: it has no model_cfg")
        if not any(path.endswith(WEIGHTS) for path in model.files):
            raise BenchmarkError(f"{model.repo.repo_id} lacks its weights in {model.folder}")


def _read_json(snapshot: Snapshot, file: str, kind: type) -> Any:
    if file not in snapshot.files:
        raise BenchmarkError(f"{snapshot.repo.repo_id} lacks {file} in {snapshot.folder}")
    try:
        found = json.loads((snapshot.folder / file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{snapshot.folder / file} can't be read: {error}") from error
    if not isinstance(found, kind):
        raise BenchmarkError(f"{snapshot.folder / file} holds a {type(found).__name__}, not a {kind.__name__}")
    return found


def check_zeroshot(folder: Path) -> None:
    """A zero-shot set has its lists and all its shards; images are looked at when GenKnow is.

    Raises:
        BenchmarkError: Something is missing.
    """
    needed = ["classnames.txt", "zeroshot_classification_templates.txt", "test/nshards.txt"]
    count = folder / needed[2]
    if count.is_file():
        number = count.read_text(encoding="utf-8", errors="replace").strip()
        if not number.isdecimal():
            raise BenchmarkError(f"{count} must hold the number of shards")
        needed += [f"test/{shard}.tar" for shard in range(int(number))]
    if missing := [name for name in needed if not (folder / name).is_file()]:
        raise BenchmarkError(
            f"{folder} is no zero-shot set in the webdataset layout of CLIP_benchmark: it lacks {missing[0]}"
            + f" and {len(missing) - 1} other files" * (len(missing) > 1)
        )
