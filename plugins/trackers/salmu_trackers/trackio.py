"""Trackio: it finds a run again by its name only, and prints what it does."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from salmu_core.contract.tracker import End, Facts, Journal
from salmu_trackers.adapter import Accelerated, AcceleratedJournal, begun


class TrackioJournal(AcceleratedJournal):
    """A run of Trackio's."""

    def close(self, end: End) -> None:
        """See `Journal`."""
        import trackio

        with _quiet():
            trackio.finish()  # after accelerate's finish() it would finish the same run again, at exit


class Trackio(Accelerated):
    """`--tracker trackio`."""

    name = "trackio"
    packages = ("trackio",)
    place = "trackio show --project {project}"

    def begin(self, kind: Any, facts: Facts, folder: Path, again: bool) -> Journal:
        """See `Accelerated`."""
        tracker = kind(
            facts.project,
            name=f"{facts.name}-{facts.id[:6]}",
            group=facts.group,
            config=facts.config,
            resume="allow" if again else "never",
        )
        with _quiet():
            return TrackioJournal(begun(tracker, None))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what this thread prints from standard output; others go on telling how far the study is."""
    own_thread, out = threading.get_ident(), sys.stdout

    class Others:
        def __getattr__(self, name: str) -> Any:
            return getattr(out, name)

        def write(self, text: str) -> int:
            return len(text) if threading.get_ident() == own_thread else out.write(text)

    with redirect_stdout(Others()):
        yield
