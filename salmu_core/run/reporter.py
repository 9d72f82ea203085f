"""What long work tells, and to whom; the command line decides how it looks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from salmu_core.disk.notes import LOG


class Reporter:
    """Listens to a study; this one keeps everything to itself."""

    def building(self, stage: str, fraction: float) -> None:
        """The benchmark is being built or opened: what is done, and how far the whole is, from 0 to 1."""

    def at(self, place: str) -> None:
        """Whose pieces these are runs on another machine, on that one."""

    def plan(self, total: int) -> None:
        """So many pieces of work (runs to make, checkpoints to score, attacks) lie ahead."""

    def begin(self, label: str, activity: str) -> None:
        """A piece of work begins."""

    def step(self, done: int, of: int, values: Mapping[str, float]) -> None:
        """Inside the current piece: steps or items done, and the loss's terms."""

    def end(self, note: str) -> None:
        """The current piece has ended, and how."""

    def passed(self, note: str) -> None:
        """The current piece was nothing to do here: somebody else does it, or has done it."""
        self.end(note)

    def outlook(self, waiting: int, running: int, left: tuple[str, float] | None) -> None:
        """How a whole study stands.

        Args:
            waiting: Pieces that nobody has begun with.
            running: Pieces that somebody is at.
            left: Up to which phase it can be foreseen, and the seconds until that has ended.
        """

    def say(self, text: str) -> None:
        """Something people should know."""

    def beside(self) -> Reporter:
        """One more, whose pieces are done at the same time and count with these."""
        return self


class _Listener(logging.Handler):
    """Hands on what is logged to a reporter."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        self._reporter.say(record.getMessage())


@contextmanager
def listening(reporter: Reporter) -> Iterator[None]:
    """Let a reporter, and nobody else, hear what the core logs."""
    before = LOG.handlers, LOG.propagate
    LOG.handlers, LOG.propagate = [_Listener(reporter)], False
    try:
        yield
    finally:
        LOG.handlers, LOG.propagate = before
