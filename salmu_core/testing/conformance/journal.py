"""What a trial writes while it goes on, line by line, and how it is read by whoever waits."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Journal:
    """Findings, written at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def _write(self, **line: Any) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def at(self, stage: str) -> None:
        """Say what is being done from now on."""
        self._write(at=stage)

    def rule(self, name: str, problem: str | None = None, *, advice: bool = False) -> None:
        """Say whether a rule holds: it does without a problem."""
        self._write(rule=name, problem=problem, advice=advice)

    def fact(self, name: str, value: str) -> None:
        """Keep something to compare with the other process."""
        self._write(fact=name, value=value)

    def end(self) -> None:
        """Say that nothing more comes."""
        self._write(end=True)


@dataclass
class Told:
    """What a trial wrote until it ended, or was ended.

    Attributes:
        rules: Rule -> what is wrong, or None where it holds; whether that is only advice.
        facts: What to compare with the other process.
        stage: What it was doing last.
        ended: Whether it said that nothing more comes.
        exit_code: Of its process; None if it had to be killed.
    """

    rules: dict[str, tuple[str | None, bool]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    stage: str = "loading"
    ended: bool = False
    exit_code: int | None = None


def read(journal: Path) -> Told:
    """What a journal says so far; a line that is being written does not count."""
    told = Told()
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True) if journal.exists() else []
    for line in (json.loads(text) for text in lines if text.endswith("\n")):
        told.stage = line.get("at", told.stage)
        told.ended = told.ended or "end" in line
        if "fact" in line:
            told.facts[line["fact"]] = line["value"]
        if "rule" in line and told.rules.get(line["rule"], (None,))[0] is None:
            told.rules[line["rule"]] = line["problem"], line["advice"]
    return told
