"""Experiment tracking: every run of a study is one run of each tracker that was asked for.

A tracker is a guest. What it raises costs its own record and nothing else, what it draws from global generators is
undone, and its time is not the run's. While a method runs it is told training scalars and nothing else. Metrics are
added to the same run of the tracker when the checkpoint has been scored, maybe by another process, maybe days later.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from salmu_core.contract.layout import RETAIN_SYNTH
from salmu_core.contract.tracker import End, Facts, Journal, Settings, Tracker
from salmu_core.disk.hashing import hash_json
from salmu_core.machine import random_state_kept
from salmu_core.plugins.named import sentence
from salmu_core.store.records import Ledger, RetainRef, RunRecord
from salmu_core.study.plan import Planned
from salmu_core.study.trackers import load_tracker

#: In a results folder: what trackers keep in files there.
FOLDER = "_trackers"
#: Characters of a text that a tracker is told; servers refuse long ones.
MAX_TEXT = 1000


class Trackers:
    """The experiment trackers of a study.

    Args:
        names: Which; by default none.
        say: Told when one fails; it is not used any more then, in this process.

    Raises:
        UsageError: One can't be loaded.
    """

    def __init__(
        self, names: Iterable[str] = (), results: Path = Path("runs"), say: Callable[[str], None] = print
    ) -> None:
        self._trackers = {name: load_tracker(name) for name in names}
        self._folder = results / FOLDER
        self._say = say

    @contextmanager
    def run(self, planned: Planned, started: str, retain: RetainRef) -> Iterator[Tracked]:
        """A new run in every tracker, closed when the block ends, however it ends.

        Args:
            started: When, as it will stand in its record.
            retain: What it can be trained on.
        """
        plugin = f"{planned.method.distribution} {planned.method.version}"
        with self._opened(facts_of(planned, started, plugin, retain), again=False) as tracked:
            yield tracked

    @contextmanager
    def run_again(self, planned: Planned, record: RunRecord) -> Iterator[Tracked]:
        """Go on with a run that was closed; a tracker that has none opens it now."""
        plugin = f"{record.plugin.distribution} {record.plugin.version}"
        with self._opened(facts_of(planned, record.started, plugin, record.retain), again=True) as tracked:
            yield tracked

    def hints(self, benchmark: str) -> list[str]:
        """How people get to see what is tracked, a sentence for each tracker."""
        project = project_of(benchmark)
        return [f"Tracked by {name}: {tracker.hint(self._folder / name, project)}" for name, tracker in self]

    def __iter__(self) -> Iterator[tuple[str, Tracker]]:
        return iter(tuple(self._trackers.items()))

    @contextmanager
    def _opened(self, facts: Facts, again: bool) -> Iterator[Tracked]:
        tracked = Tracked(self, facts)
        try:
            for name, tracker in self:
                tracked.open(name, tracker, self._folder / name, again)
            yield tracked
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                tracked.close("stopped", "interrupted")
            else:
                tracked.close("failed", f"{type(error).__name__}: {error}")
            raise
        tracked.close()

    def attempt(self, name: str, run: str, act: Callable[[], None]) -> bool:
        """Let a tracker do something; once it fails, this is said, and it is not asked again."""
        try:
            with random_state_kept():
                act()
        except (Exception, SystemExit) as error:
            del self._trackers[name]
            why = f"{type(error).__name__}: {sentence(error)}"
            self._say(f"{run}: the tracker {name} failed and is left out from here on. {why}")
            return False
        return True


class Tracked:
    """One run, open in some trackers."""

    def __init__(self, trackers: Trackers, facts: Facts) -> None:
        self._trackers = trackers
        self._facts = facts
        self._journals: dict[str, Journal] = {}
        self._scalars: dict[str, float] = {}
        self._step = 0
        self._end: End = "finished"

    def open(self, name: str, tracker: Tracker, folder: Path, again: bool) -> None:
        """Open the run in one more tracker."""

        def start() -> None:
            self._journals[name] = tracker.open(self._facts, folder, again)

        self._trackers.attempt(name, self._facts.name, start)

    def scalar(self, name: str, value: float, step: int) -> None:
        """A training scalar; those of one step are told together."""
        if step != self._step or name in self._scalars:
            self._flush()
        self._step = step
        self._scalars[name] = value

    def outcome(self, status: str, reason: str, ledger: Ledger) -> None:
        """What came of the run, and what it cost."""
        self._flush()
        self._tell({f"ledger/{name}": value for name, value in ledger.model_dump().items()})
        self._explain(status, reason)
        self._end = "finished" if status == "valid" else "failed"

    def metrics(self, values: Mapping[str, float]) -> None:
        """The figures of its checkpoint."""
        self._tell({f"metrics/{name}": value for name, value in values.items()})

    def close(self, end: End | None = None, reason: str = "") -> None:
        """Close it everywhere.

        Args:
            end: How it ended, if it was cut short.
        """
        self._flush()
        if end:
            self._explain(end, reason)
        journals, self._journals = self._journals, {}
        for name, journal in journals.items():
            self._trackers.attempt(name, self._facts.name, partial(journal.close, end or self._end))

    def _flush(self) -> None:
        values = {f"train/{name}": value for name, value in self._scalars.items()}
        self._scalars = {}
        self._tell(values, self._step)

    def _tell(self, values: Mapping[str, float], step: int | None = None) -> None:
        if values:
            self._write(lambda journal: journal.log(values, step))

    def _explain(self, status: str, reason: str) -> None:
        texts = {"status": status} | ({"reason": reason[:MAX_TEXT]} if reason else {})
        self._write(lambda journal: journal.explain(texts))

    def _write(self, act: Callable[[Journal], None]) -> None:
        for name, journal in tuple(self._journals.items()):
            if not self._trackers.attempt(name, self._facts.name, partial(act, journal)):
                del self._journals[name]
                with suppress(Exception, SystemExit), random_state_kept():
                    journal.close("stopped")


def facts_of(planned: Planned, started: str, plugin: str, retain: RetainRef) -> Facts:
    """What trackers are told of a run.

    Args:
        started: As in its record.
        plugin: Distribution and version.
        retain: As in its record.
    """
    key = planned.key
    base, _, number = key.benchmark.partition("@")
    world = int(number) if number.isdecimal() else 0
    name = f"{key.method}-b{key.budget:.15g}-s{key.seed}" + (f"-w{world}" if world else "")
    config: Settings = {
        "benchmark": base,
        "world": world,
        "method": key.method,
        "plugin": plugin,
        "budget": key.budget,
        "seed": key.seed,
        "retain": retain.label if retain.shards else RETAIN_SYNTH,
        "start": key.start or "compromised",
        "request": key.request or "all",
        "folder": key.path.as_posix(),
    }
    for field, value in planned.config.model_dump(mode="json").items():
        config[f"config.{field}"] = value if isinstance(value, str | int | float) else json.dumps(value)
    return Facts(
        project=project_of(key.benchmark),
        group=key.method,
        name=f"{name}-{key.config_hash[:6]}{key.suffix}",
        id=hash_json([key.path.as_posix(), started])[:16],
        path=key.path,
        config=config,
    )


def project_of(benchmark: str) -> str:
    """The project of a benchmark, whatever the world."""
    return f"salmu-{benchmark.partition('@')[0]}"
