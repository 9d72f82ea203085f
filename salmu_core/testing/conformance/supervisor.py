"""Waits for trials, and ends those that don't end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from salmu_core.testing.conformance.journal import Told, read
from salmu_core.testing.conformance.request import Request
from salmu_core.testing.conformance.server import server

#: Seconds between two looks at a trial.
_TICK = 0.02
#: Seconds a process may take to import torch before it begins.
_START = 300.0
#: Bytes of output after which a plugin is ended.
_TOO_MUCH = 100_000_000


class Trial:
    """One trial, in a process of its own.

    Args:
        hash_seed: Decides the order of sets of strings.
    """

    def __init__(self, request: Request, hash_seed: int) -> None:
        self._request = request
        self._server = server(hash_seed)
        self._pid = self._server.start(request.model_dump_json())

    def kill(self) -> None:
        """End it: nobody wants to know any more."""
        self._server.kill(self._pid)

    def output(self) -> str:
        """The last of what the plugin printed."""
        if not self._request.output.exists():
            return ""
        with self._request.output.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 2000))
            return file.read().decode(errors="replace").strip()

    def _floods(self) -> bool:
        return self._request.output.exists() and self._request.output.stat().st_size > _TOO_MUCH

    def wait(self, patience: float, on_stage: Callable[[str], None] = lambda stage: None) -> Told:
        """Wait for the end; kill the process once it has been busy with one thing for ``patience`` seconds."""
        size, heard, stage = 0, time.monotonic(), ""
        while (code := self._server.poll(self._pid)) is None:
            written = self._request.journal.stat().st_size if self._request.journal.exists() else 0
            if written != size:
                size, heard = written, time.monotonic()
                told = read(self._request.journal)
                if told.stage != stage:
                    stage = told.stage
                    on_stage(stage)
                if told.ended:  # a thread or a handler of the plugin's must not keep us waiting
                    return told
            elif time.monotonic() - heard > (patience if size else _START) or self._floods():
                self.kill()
                return read(self._request.journal)
            time.sleep(_TICK)
        told = read(self._request.journal)
        told.exit_code = code
        return told
