"""Starts trials in processes of their own, reads what they write, and ends those that don't end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from salmu_core.testing.server import server
from salmu_core.testing.trial import Request

#: Seconds between two looks at a trial.
_TICK = 0.02
#: Seconds a process may take to import torch before it begins.
_START = 300.0


@dataclass
class Told:
    """What a trial wrote until it ended, or was ended.

    Attributes:
        rules: Rule -> what is wrong, or None where it holds; whether that is only advice.
        facts: What to compare with the other process.
        stage: What it was doing last.
        ended: Whether it said that nothing more comes.
        exit_code: Of its process; None if it had to be killed.
        output: What the plugin printed.
    """

    rules: dict[str, tuple[str | None, bool]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    stage: str = "loading"
    ended: bool = False
    exit_code: int | None = None
    output: str = ""


class Trial:
    """One trial, in a process of its own.

    Args:
        request: What to examine.
        hash_seed: Decides the order of sets of strings.
    """

    def __init__(self, request: Request, hash_seed: int) -> None:
        self._request = request
        self._server = server(hash_seed)
        self._pid = self._server.start(request.model_dump_json())

    def kill(self) -> None:
        """End it: nobody wants to know any more."""
        self._server.kill(self._pid)

    def wait(self, patience: float, on_stage: Callable[[str], None] = lambda stage: None) -> Told:
        """Wait for the end; kill the process once it has been busy with one thing for ``patience`` seconds."""
        size, heard, stage = 0, time.monotonic(), ""
        while (code := self._server.poll(self._pid)) is None:
            written = _size(self._request.journal)
            if written != size:
                size, heard = written, time.monotonic()
                told = _read(self._request)
                if told.stage != stage:
                    stage = told.stage
                    on_stage(stage)
                if told.ended:  # a thread or a handler of the plugin's must not keep us waiting
                    return told
            elif time.monotonic() - heard > (patience if size else _START):
                self.kill()
                return _read(self._request)
            time.sleep(_TICK)
        told = _read(self._request)
        told.exit_code = code
        return told


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _read(request: Request) -> Told:
    told = Told()
    if request.journal.exists():
        lines = request.journal.read_text(encoding="utf-8").splitlines(keepends=True)
        for line in (json.loads(text) for text in lines if text.endswith("\n")):
            told.stage = line.get("at", told.stage)
            told.ended = told.ended or "end" in line
            if "fact" in line:
                told.facts[line["fact"]] = line["value"]
            if "rule" in line and told.rules.get(line["rule"], (None,))[0] is None:
                told.rules[line["rule"]] = line["problem"], line["advice"]
    output = request.scratch / "output.txt"
    told.output = output.read_text(encoding="utf-8", errors="replace")[-2000:] if output.exists() else ""
    return told
