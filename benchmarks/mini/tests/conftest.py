"""One tiny built benchmark, shared by all tests of a session."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest
from salmu_mini import children, worker
from salmu_mini.build import build
from salmu_mini.recipe import Recipe

TINY = Recipe(
    personas=8,
    forgotten=2,
    held_out=2,
    pairs_per_attribute=2,
    retain_scenes=128,
    retain_people=24,
    pool_scenes=64,
    pool_people=8,
    pool_documents=16,
    homonyms=8,
    test_per_class=1,
    vision_width=32,
    vision_layers=1,
    text_width=32,
    text_layers=1,
    embed_dim=16,
    steps=3,
    retain_batch=32,
    sensitive_batch=8,
    warmup=1,
)


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    return TINY


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, float]]]:
    """The folder of world 0 and the progress that was reported."""
    folder = tmp_path_factory.mktemp("mini")
    said: list[tuple[str, float]] = []
    build(folder, 0, lambda stage, done: said.append((stage, done)), TINY)
    return folder, said


class Fork:
    """A worker that is a fork of this process, as far as `children` looks at it: it has torch already."""

    def __init__(self, scratch: Path, job: Sequence[str], log: IO[str]) -> None:
        self.returncode: int | None = None
        read, write = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            code = 1
            with suppress(BaseException):
                try:
                    sys.stdout = os.fdopen(write, "w")
                    worker.main([str(scratch), *job])
                    code = 0
                except BaseException:
                    traceback.print_exc(file=log)
                    log.flush()
            os._exit(code)
        os.close(write)
        self.stdout = os.fdopen(read)

    def poll(self) -> int | None:
        if self.returncode is None:
            self._ended(*os.waitpid(self._pid, os.WNOHANG))
        return self.returncode

    def wait(self) -> None:
        if self.returncode is None:
            self._ended(*os.waitpid(self._pid, 0))

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def _ended(self, pid: int, status: int) -> None:
        if pid:
            self.returncode = os.waitstatus_to_exitcode(status)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers need not be interpreters of their own: what they make is the same."""
    if hasattr(os, "fork"):
        monkeypatch.setattr(children, "_start", Fork)
