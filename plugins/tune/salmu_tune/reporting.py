"""How a search tells of its runs: as one study, though every round is one. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping

from salmu_core.run.reporter import Reporter


class Rounds(Reporter):
    """Hands on what is told of the rounds: how much lies ahead of all of them, and every sentence once.

    Args:
        reporter: Whoever listens.
    """

    def __init__(self, reporter: Reporter, said: set[str] | None = None) -> None:
        self._reporter, self._said = reporter, set() if said is None else said

    def begin_rounds(self, total: int) -> None:
        """So many runs lie ahead, in all rounds."""
        self._reporter.plan(total)

    def building(self, stage: str, fraction: float) -> None:
        self._reporter.building(stage, fraction)

    def plan(self, total: int) -> None:
        """Of one round."""

    def begin(self, label: str, activity: str) -> None:
        self._reporter.begin(label, activity)

    def step(self, done: int, of: int, values: Mapping[str, float]) -> None:
        self._reporter.step(done, of, values)

    def end(self, note: str) -> None:
        self._reporter.end(note)

    def say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._reporter.say(text)

    def beside(self) -> Reporter:
        return Rounds(self._reporter.beside(), self._said)
