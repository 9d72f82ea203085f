"""What does pieces of a study on a machine of the cluster."""

from __future__ import annotations

import atexit
import multiprocessing
import platform
import shutil
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import ray

from salmu_core.disk.files import visible_files
from salmu_core.study.engine import Job
from salmu_core.study.member import PATIENCE
from salmu_core.study.pieces import Piece
from salmu_core.study.relay import attend
from salmu_core.study.warden import ending
from salmu_ray.files import Files, lay, read

#: Lines that are handed on at a time.
_MANY = 1000


class Host:
    """An actor with a process beside it, in which everything is opened once and then piece after piece is done.

    In a process of their own, since Ray's has threads, and what has threads is not to be forked.

    Args:
        results: The results folder of whoever began the study.
        mark: The name of a file in it, by which it is known whether this machine sees that folder too.
    """

    def __init__(self, job: Job, results: str, mark: str) -> None:
        self._results, self.shared = Path(results), (Path(results) / mark).is_file()
        if not self.shared:
            self._results = Path(tempfile.mkdtemp(prefix="salmu-"))
            atexit.register(shutil.rmtree, self._results, ignore_errors=True)
        self._known: dict[str, tuple[int, int]] = {}
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        work = partial(job.begin, self._results)
        self._process = context.Process(target=attend, args=(work, theirs, PATIENCE))
        self._process.start()
        theirs.close()

    def place(self) -> tuple[str, bool]:
        """What people call this place, and whether it sees the results folder."""
        cards = ", ".join(map(str, ray.get_gpu_ids()))
        node = ray.get_runtime_context().get_node_id()[:6]
        return f"{platform.node()} ({f'card {cards} of ' if cards else ''}{node})", self.shared

    def hear(self, seconds: float) -> tuple[list[bytes], str | None]:
        """What the process has said, and how it has ended, if it has; waits so long for the first of it."""
        ended, lines = self._process.exitcode, list[bytes]()
        try:
            deadline = time.monotonic() + seconds
            while len(lines) < _MANY and self._connection.poll(0 if lines else max(0.0, deadline - time.monotonic())):
                lines.append(self._connection.recv_bytes())
        except (EOFError, OSError):
            self._process.join(PATIENCE)
            ended = self._process.exitcode
        return lines, None if ended is None else ending(ended)

    def hand(self, piece: Piece | None, needed: Mapping[str, Files]) -> None:
        """Give it a piece.

        Args:
            needed: Folders that it needs, by their paths in a results folder.
        """
        for path, files in needed.items():
            lay(self._results / path, files)
            self._note(path)
        self._connection.send(piece)

    def has(self, path: str) -> bool:
        """Whether a folder lies here already."""
        return (self._results / path).is_dir()

    def fetch(self, path: str) -> Files:
        """The files of a folder that are new since it was last fetched or laid here."""
        files = read(self._results / path, self._known, path)
        self._note(path)
        return files

    def leave(self) -> None:
        """Ask the process to stop tidily."""
        self._process.terminate()

    def _note(self, path: str) -> None:
        folder = self._results / path
        for file in visible_files(folder):
            found = file.stat()
            self._known[f"{path}/{file.relative_to(folder).as_posix()}"] = found.st_mtime_ns, found.st_size
