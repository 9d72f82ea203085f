"""A whole study: first every method unlearns on every benchmark, then every checkpoint is scored.

The order is a safeguard. While a method runs, the process has opened the forget set, the retain set and
Compromised, and nothing else; holdouts and Clean, of whatever world, come into it only when no method runs any more.

Several processes share the work run by run; each run is one process's alone, so their number shows in no result. A
folder is locked while it is worked on, against a second `salmu run`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from salmu_core.benchmark.folder import Benchmark
from salmu_core.benchmark.retain import Stream
from salmu_core.contract.specs import MetricSpec
from salmu_core.disk.hashing import hash_json
from salmu_core.errors import CheckpointError, MachineError, SalmuError, StoreError
from salmu_core.plugins.zoo import Declared
from salmu_core.run.reporter import Reporter
from salmu_core.run.runner import run_one
from salmu_core.run.saves import Saves
from salmu_core.score.scorer import Scorer
from salmu_core.store.attempts import Attempts
from salmu_core.store.folders import METRICS, RUN, RunKey, Store, read_record, read_run
from salmu_core.store.records import MetricsRecord, RetainRef, RunRecord, Status
from salmu_core.store.starts import StartRef
from salmu_core.study.apart import Cell, Make
from salmu_core.study.making import Making
from salmu_core.study.plan import Planned
from salmu_core.study.prepare import Options
from salmu_core.study.recording import make_record, surroundings
from salmu_core.study.sessions import Sessions
from salmu_core.study.starts import Start, after, compromised
from salmu_core.study.todo import lacks_metrics, needs_metrics
from salmu_core.study.tracking import Trackers
from salmu_core.study.writing import write_failed, write_run
from salmu_core.train.compiled import Compiler


@dataclass
class Execution:
    """A study being carried out on one benchmark.

    Attributes:
        metrics: What is computed of every checkpoint.
        accelerator: Device, precision and processes.
        stream: The user's own retain pairs.
        trackers: Experiment trackers that every run is told to.
        elsewhere: Where processes can't be forked, gives what opens a run in a fresh interpreter.
    """

    benchmark: Benchmark
    store: Store
    metrics: Sequence[Declared[MetricSpec]]
    accelerator: Accelerator
    reporter: Reporter
    stream: Stream | None = None
    options: Options = field(default_factory=Options)
    trackers: Trackers = field(default_factory=Trackers)
    elsewhere: Callable[[RunKey], Callable[[], Make]] | None = None

    @cached_property
    def scorer(self) -> Scorer:
        """Scores checkpoints; opens the holdouts when first used."""
        return Scorer(self.benchmark, self.metrics, self.accelerator.device, self.reporter.building)

    def unlearn(self, runs: Sequence[Planned], verdict: str = "") -> None:
        """Make runs. To be called before anything is scored in this process, whatever the benchmark.

        Args:
            verdict: Why they are not made any more, which is their result; empty if they are to be made.
        """
        for planned in runs:
            folder = self.store.folder(planned.key)
            with self.store.claim(folder) as claimed:
                start = self._start(planned) if claimed else None
                if start is None or (isinstance(start, Start) and self._made_meanwhile(folder, start)):
                    what = "left to another process" if start is None else "there already"
                    self.reporter.passed(f"{planned.key}: {what}")
                    continue
                if isinstance(start, Start):
                    note = self._give_up(folder, planned, start, verdict) or self._unlearn_one(folder, planned, start)
                else:
                    first = (
                        planned.start.ref.model_copy(update={"checkpoint_hash": ""}) if planned.start else StartRef()
                    )
                    write_failed(folder, self._record(planned, first, "not-begun", start))
                    note = f"not begun: {start}"
            self.reporter.end(f"{planned.key}: {note}")

    def _give_up(self, folder: Path, planned: Planned, start: Start, verdict: str) -> str:
        """Write down why a run is not made; returns what to say of it, which is nothing if it is to be made."""
        if verdict:
            write_failed(folder, self._record(planned, start.ref, "died", verdict))
            verdict = f"died, {verdict}"
        return verdict

    def open(self, planned: Planned) -> None:
        """Open what a run begins with, and what methods may see of the benchmark; nothing else."""
        start = self._start(planned)
        if isinstance(start, Start):
            self._sessions.of(start, planned.request, self.reporter.building)

    def _unlearn_one(self, folder: Path, planned: Planned, start: Start) -> str:
        """Make a run; returns what came of it."""
        self.reporter.begin(str(planned.key), "unlearning")
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        before = _seal(folder)
        session, request = self._sessions.of(start, planned.request, self.reporter.building)
        making = self._making(folder, planned)  # before trackers, which may start threads: none is to be forked
        with making, self.trackers.run(planned, started, self._retain) as tracked:
            outcome = making.outcome(session.clip.model, str(planned.key), self.reporter, tracked.scalar)
            facts = {"ledger": outcome.ledger, "fits": outcome.fits, "scalars": outcome.scalars}
            facts |= {"started": started, "request": request}
            facts["environment"] = surroundings(self.accelerator, self.options.threads, outcome)
            record = self._record(planned, start.ref, outcome.status, outcome.reason, **facts)
            self.benchmark.check_unchanged()
            if self.stream:
                self.stream.check_unchanged()
            # Where a file system only says that it locks, another process may have made the run meanwhile.
            write_run(folder, record, outcome, session.clip, lambda: self._made(folder, start, before))
            if making.damaged:
                with suppress(SalmuError, OSError):  # the run has its record; the next one finds it again
                    self._sessions.heal()
            tracked.outcome(outcome.status, outcome.reason, outcome.ledger)
        note = f"{outcome.ledger.seconds:.1f} s" if outcome.status == "valid" else outcome.reason
        return f"{outcome.status}, {note}"

    def _saves(self, planned: Planned, start: Start, folder: Path) -> Saves | None:
        """How a run is kept in a folder while it trains."""
        inner = planned.wrapped.spec.known_failures if planned.wrapped else {}
        if self.options.checkpoint_every.never or "resumes" in inner:
            return None
        of = {
            "benchmark": [self.benchmark.name, self.benchmark.data_hash],
            "plugin": [planned.method.distribution, planned.method.version, planned.code],
            "retain": self._retain.digest,
            "start": start.ref.checkpoint_hash,
            "request": planned.request.model_dump(mode="json"),
        }
        return Saves(folder, self.options.checkpoint_every, of, print)

    def _making(self, folder: Path, planned: Planned) -> Making:
        """Begin to make a run."""
        code, scalars = planned.code, bool([*self.trackers])
        owner = hash_json([planned.method.distribution, code])
        cell = Cell.of(self.store, folder, self.benchmark, owner, self.options.threads, scalars)
        attempts = Attempts(self.store.attempts(folder), code, cell.scratch)
        if self.elsewhere is not None:
            return Making(self.elsewhere(planned.key), cell, self.options.limits, "spawn", attempts)
        make = self.make(planned)
        return Making(lambda: make, cell, self.options.limits, "fork", attempts, adopts=not scalars)

    def make(self, planned: Planned) -> Make:
        """Open all that a run needs; returns what makes it, in this process or one that is forked from it.

        Raises:
            StoreError: There is nothing to begin with any more.
        """
        start = self._start(planned)
        if not isinstance(start, Start):
            raise StoreError(f"{planned.key}: {start or 'what it begins with is being made by another process'}")
        session, _ = self._sessions.of(start, planned.request, self.reporter.building)
        run = partial(
            run_one,
            planned.method.spec,
            planned.config,
            planned.key.budget,
            planned.key.seed,
            session,
            self.accelerator,
            micro_batch=self.options.micro_batch,
            state=self._sessions.state(start, planned.key.method),
            compiler=Compiler(self.options.compile, print),
        )
        return lambda *, observer, kept: run(observer=observer, saves=self._saves(planned, start, kept))

    @property
    def _retain(self) -> RetainRef:
        return self.stream.record if self.stream else RetainRef()

    def _record(self, planned: Planned, start: StartRef, status: Status, reason: str, **facts: Any) -> RunRecord:
        facts = {"environment": surroundings(self.accelerator, self.options.threads), **facts}
        return make_record(planned, self.benchmark, self._retain, start, status, reason, **facts)

    @cached_property
    def _sessions(self) -> Sessions:
        device = self.accelerator.device if self.elsewhere is None else torch.device("cpu")
        return Sessions(self.benchmark, device, self.stream)

    def _start(self, planned: Planned) -> Start | str | None:
        """What a run begins with; why there is nothing; None while another process makes it."""
        if planned.before is None:
            return planned.start or compromised(self.benchmark)
        folder = self.store.folder(planned.before)
        try:
            record = read_run(folder)
        except StoreError as error:
            return str(error)
        if record is None:
            return None
        if record.status == "valid":
            return after(folder, record, self.store.root)
        if record.status == "not-begun":
            return record.reason
        return f"{record.request.label} has no result to go on from: it is {record.status}: {record.reason}"

    def _made_meanwhile(self, folder: Path, start: Start) -> bool:
        """Whether this run is finished: by somebody else since the plan was drawn up, or as its sequence was before."""
        return not self.options.redo and self._made(folder, start)

    @staticmethod
    def _made(folder: Path, start: Start, before: str = "") -> bool:
        """Whether a run lies there whole, and is another one than the one with that seal."""
        try:
            record = read_run(folder)
        except StoreError:
            return False
        return (
            record is not None
            and record.status == "valid"
            and record.start.checkpoint_hash == start.ref.checkpoint_hash
            and record.seal != before
        )

    def score(self, runs: Sequence[Planned], references: Sequence[str]) -> None:
        """Score the checkpoints of runs, and reference models."""
        for role in references:
            folder = self.store.reference(self.benchmark.name, role)
            model = self.benchmark.model(role), self.benchmark.model_hash(role)
            self._score_one(folder, role.capitalize(), lambda: model, self.options.redo)  # noqa: B023 - called at once
        for planned in runs:
            folder = self.store.folder(planned.key)
            try:
                if self._score_one(folder, str(planned.key), partial(self._checkpoint, folder)):
                    self._track_metrics(folder, planned)
            except CheckpointError as error:  # one run's; without a reference model, nothing could be said of any
                self.reporter.end(f"{planned.key}: not scored: {error}")

    def _checkpoint(self, folder: Path) -> tuple[str, str] | None:
        record = read_run(folder)
        if record is None or not needs_metrics(folder, record, self.metrics, self.benchmark.scored_on, []):
            return None
        assert record.checkpoint_hash is not None
        return str(folder), record.checkpoint_hash

    def _track_metrics(self, folder: Path, planned: Planned) -> None:
        run, metrics = read_record(folder / RUN, RunRecord), read_record(folder / METRICS, MetricsRecord)
        if run is not None and metrics is not None:
            with self.trackers.run_again(planned, run) as tracked:
                tracked.metrics(metrics.values)

    def _score_one(
        self, folder: Path, label: str, find: Callable[[], tuple[str, str] | None], again: bool = False
    ) -> bool:
        """Score a model whose results lie in a folder, if there is something to score; returns whether it was.

        Raises:
            MachineError: A metric was not computed; the others are kept.
        """
        with self.store.claim(folder) as claimed:
            try:
                model = find() if claimed else None
            except StoreError as error:
                self.reporter.end(f"{label}: not scored: {error}")
                return False
            scored_on = self.benchmark.scored_on
            if model is None or not (again or lacks_metrics(folder, model[1], self.metrics, scored_on, [])):
                self.reporter.passed(f"{label}: nothing to score here")
                return False
            self.reporter.begin(label, "scoring")
            scoring = self.scorer.score(*model, folder, self.reporter.step)
        for metric, problem in scoring.record.errors.items():
            self.reporter.say(f"{label}: metric {metric} has no value: {problem}")
        if scoring.failures:
            raise MachineError(scoring.failed)
        self.reporter.end(f"{label}: scored, {scoring.record.seconds:.1f} s")
        return True


def _seal(folder: Path) -> str:
    """Of the record that lies in a run's folder; empty where none can be read."""
    with suppress(StoreError):
        record = read_record(folder / RUN, RunRecord)
        return record.seal if record is not None else ""
    return ""
