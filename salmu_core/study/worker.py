"""A process at work on a study: it does pieces, one after another, whichever it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from accelerate import Accelerator

from salmu_core.attack.session import AttackSession
from salmu_core.benchmark.retain import Stream
from salmu_core.contract.specs import MetricSpec
from salmu_core.plugins.zoo import Declared
from salmu_core.run.accelerator import set_threads
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import RunKey, Store
from salmu_core.study.apart import Make
from salmu_core.study.attacking import attack
from salmu_core.study.attacks import Assault
from salmu_core.study.execution import Execution
from salmu_core.study.pieces import Piece
from salmu_core.study.plan import Planned
from salmu_core.study.prepare import Options, Work
from salmu_core.study.tracking import Trackers


class Worker:
    """Does pieces of a study; what pieces of one phase and benchmark share stays open from one to the next.

    Args:
        works: The benchmarks, and what is planned on them.
        metrics: What is computed of every checkpoint.
        elsewhere: Where processes can't be forked, gives what opens a run in a fresh interpreter.
    """

    def __init__(
        self,
        works: Sequence[Work],
        stream: Stream | None,
        store: Store,
        metrics: Sequence[Declared[MetricSpec]],
        accelerator: Accelerator,
        options: Options,
        reporter: Reporter,
        elsewhere: Callable[[RunKey], Callable[[], Make]] | None = None,
    ) -> None:
        self._works = {work.benchmark.name: work for work in works}
        self._stream = stream
        self._store = store
        self._metrics = metrics
        self.accelerator = accelerator
        self._options = options
        self._elsewhere = elsewhere
        self._at = ("", "")
        self._execution: Execution | None = None
        self._attacks: AttackSession | None = None
        self.report_to(reporter)

    def report_to(self, reporter: Reporter) -> None:
        """Tell somebody else from now on."""
        self._reporter = reporter
        self._trackers = Trackers(self._options.trackers, self._store.root, reporter.say)

    def open(self, piece: Piece) -> None:
        """Open what a run begins with, and what methods may see of its benchmark."""
        work = self._works[piece.benchmark]
        self._execution_of(work, piece).open(_planned(work, piece))

    def make(self, run: RunKey) -> Make:
        """Open all that a run needs; returns what makes it.

        Raises:
            StoreError: What it begins with is gone.
        """
        piece = Piece("unlearning", run.benchmark, run)
        work = self._works[piece.benchmark]
        return self._execution_of(work, piece).make(_planned(work, piece))

    def do(self, piece: Piece) -> None:
        """Make a run, score a checkpoint, or attack it."""
        # Runs are made in other processes; and from one that has computed with several threads none can be forked.
        set_threads(1 if piece.phase == "unlearning" else self._options.threads)
        work = self._works[piece.benchmark]
        if piece.phase == "attacking":
            self._attack(work, piece)
            return
        execution = self._execution_of(work, piece)
        runs = [planned for planned in work.plan if planned.key == piece.target]
        if piece.phase == "unlearning":
            execution.unlearn(runs, piece.verdict)
        else:
            execution.score(runs, [piece.target] if isinstance(piece.target, str) else [])

    def _execution_of(self, work: Work, piece: Piece) -> Execution:
        if self._execution is None or self._at != (piece.benchmark, piece.phase):
            self._let_go(piece)
            self._execution = Execution(
                work.benchmark,
                self._store,
                self._metrics,
                self.accelerator,
                self._reporter,
                self._stream,
                self._options,
                elsewhere=self._elsewhere,
            )
        self._execution.reporter, self._execution.trackers = self._reporter, self._trackers
        return self._execution

    def _attack(self, work: Work, piece: Piece) -> None:
        if self._attacks is None or self._at != (piece.benchmark, piece.phase):
            self._let_go(piece)
            progress = self._reporter.building
            self._attacks = AttackSession.open(work.benchmark, self._metrics, self.accelerator, progress)
        targets = [*(planned for planned in work.plan if planned.key == piece.target), piece.target]
        planned = {attack.key: attack for attack in work.attacks}
        assaults = [Assault(planned[key], targets[0]) for key in piece.attacks]  # type: ignore[arg-type]
        attack(assaults, self._attacks, work.benchmark, self._store, self._reporter, self._options.redo)

    def _let_go(self, piece: Piece) -> None:
        """Of what was open, before something else is."""
        self._execution = self._attacks = None
        self._at = piece.benchmark, piece.phase


def _planned(work: Work, piece: Piece) -> Planned:
    return next(planned for planned in work.plan if planned.key == piece.target)
