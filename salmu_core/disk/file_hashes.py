"""Hashes of files that are read again only where they may have changed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from salmu_core.disk.cache import recall, remember
from salmu_core.disk.hashing import Hashes, hash_file
from salmu_core.disk.space import STAMPS
from salmu_core.disk.stamps import Stamp


class InUse:
    """Files whose hashes are to stand in a record, from when they are hashed until they were used.

    Args:
        paths: The files, none of which has been hashed yet.
    """

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        now = time.time_ns()
        self._begun = {path: (stamp := Stamp.of(path), stamp.settled(now)) for path in paths}

    def changed(self, hashes: Mapping[Path, str]) -> Path | None:
        """The first of them that was changed, so that nobody can say what was used; None if none was.

        Args:
            hashes: What they were found to be; they are read again only where stamps don't tell.
        """
        for path, (begun, settled) in self._begun.items():
            try:
                now = Stamp.of(path)
                if now.touched(begun) or ((now != begun or not settled) and hash_file(path) != hashes[path]):
                    return path
            except OSError:
                return path
        return None


class Stamps(Hashes):
    """The hashes of a folder's files, and of files elsewhere that belong to it; a context, which remembers them.

    They lie in the cache: beside the files they would be one more thing to trust in results that come from others, and
    could not be written where those may only be read. Their file is named after the folder's inode and not its path,
    and has paths relative to it, so that a folder that was moved need not be read again. What shares an inode with
    another, on another disk, is only read more often than it had to be: everything else is compared as well.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._prefix = folder, f"{folder}{os.sep}"
        self._entries: dict[str, list[int | str]] = {}
        self._kept: dict[str, list[int | str]] = {}

    def __enter__(self) -> Self:
        self._kept = self._read()
        self._entries = dict(self._kept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._entries == self._kept:
            return
        entries = {name: entry for name, entry in self._entries.items() if (self._folder / name).exists()}
        remember(STAMPS, self._key(), json.dumps(entries, indent=0).encode(), quietly=True)

    def known(self, path: Path) -> bool:
        """Whether a file was noted, and can't have changed since."""
        *known, _ = self._entries.get(self._name(path), [""])
        return known == [*Stamp.of(path)]

    def note(self, path: Path) -> None:
        """Note that a file that has just been read was found to be sound."""
        self(path)

    def __call__(self, path: Path, just_read: str | None = None) -> str:
        """SHA-256 of a file's content, as hex.

        Args:
            just_read: Its hash, where somebody has just read all of it.
        """
        now, stamp, name = time.time_ns(), Stamp.of(path), self._name(path)
        *known, content = self._entries.get(name, [""])
        if just_read is None and known == [*stamp]:
            return str(content)
        sha256 = just_read or hash_file(path)
        self._entries.pop(name, None)
        if stamp.settled(now) and Stamp.of(path) == stamp:  # neither just before it was read nor meanwhile
            self._entries[name] = [*stamp, sha256]
        return sha256

    def _name(self, path: Path) -> str:
        whole = str(path)
        return whole.removeprefix(self._prefix) if whole.startswith(self._prefix) else str(path.absolute())

    def _key(self) -> int:
        return self._folder.stat().st_ino

    def _read(self) -> dict[str, list[int | str]]:
        try:
            kept = recall(STAMPS, self._key())
        except OSError:  # there is no such folder
            return {}
        return json.loads(kept) if kept is not None else {}
