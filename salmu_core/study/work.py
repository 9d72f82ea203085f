"""A whole study, from what is asked for to results that lie in a folder.

Every benchmark is opened, the runs are planned and held against what is there already, and what is missing is done in
pieces, by this process or by several: first all methods unlearn, then all checkpoints are scored, then they are
attacked.
"""

from __future__ import annotations

import atexit
import gc
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from salmu_core.benchmark.retain import Stream
from salmu_core.contract.settings import Settings
from salmu_core.disk.files import sweep
from salmu_core.machine import cache_folder
from salmu_core.plugins.zoo import Zoo, discover
from salmu_core.run.accelerator import accelerate, device_type, set_threads
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import RunKey, Store
from salmu_core.study.launched import by_itself, launched, wait_for_all
from salmu_core.study.on_card import OnCard, on_card
from salmu_core.study.origin import notes
from salmu_core.study.otherwise import otherwise
from salmu_core.study.pieces import in_phases, parallel, pieces_of, share
from salmu_core.study.plan import Study
from salmu_core.study.prepare import Options, Work, prepare
from salmu_core.study.processes import Crew, forks, spread
from salmu_core.study.relay import Do
from salmu_core.study.saying import Aside
from salmu_core.study.todo import Outstanding, outstanding
from salmu_core.study.tracking import Trackers

if TYPE_CHECKING:
    from salmu_core.study.apart import Make
    from salmu_core.study.worker import Worker


def carry_out(
    study: Study, overrides: Mapping[str, Settings], zoo: Zoo, store: Store, options: Options, reporter: Reporter
) -> list[Work]:
    """Make what is missing of a study; of several processes that a launcher started, one's share of it.

    Args:
        study: What is to be run, as `prepare.check` found it.
        overrides: Settings that go over the study's, by method.

    Raises:
        KeyboardInterrupt: Somebody stopped it; finished runs are kept.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends as Ctrl-C does
    metrics = list(zoo.metrics.values())
    stream, works = prepare(study, overrides, zoo, store, reporter)
    todos = [outstanding(w.plan, w.benchmark, store, metrics, options.redo, w.attacks) for w in works]
    todos = todos if options.scores else [todo.unscored for todo in todos]
    ways = (w for work, todo in zip(works, todos, strict=True) for w in otherwise(work.plan, todo, store, options))
    origins = (planned.origin for todo in todos for planned in todo.runs)
    for note in [*(note for todo in todos for note in todo.notes), *ways, *notes(origins)]:
        reporter.say(note)
    index, count = launched()
    if not index:
        store.tidy(options.redo)
    if not any(todo.size for todo in todos) and count == 1:
        _nothing(todos, store, reporter)
        return works
    if not index:
        for folder in (store.root, cache_folder()):
            sweep(folder, below=True)
    for metric in metrics:
        _ = metric.spec  # what can't be imported any more is said now, and not when all runs are made
    reporter.plan(sum(todo.size for todo in todos))
    for hint in [] if index else Trackers(options.trackers, store.root).hints(works[0].benchmark.name):
        reporter.say(hint)
    reporter.building("loading torch", 1.0)
    pairs = zip(works, todos, strict=True)
    pieces = in_phases(p for work, todo in pairs for p in pieces_of(work.benchmark.name, work.plan, todo))
    device = device_type()
    asked, together = options.processes, OnCard()
    if count == 1 and not asked and device == "cuda":
        together = on_card(((work.benchmark, work.plan) for work in works), store, options.mixed_precision)
        asked = together.runs
    processes = spread(asked, device, parallel(pieces)) if count == 1 else 1
    if together.why and processes > 1:
        reporter.say(together.why)
    mine = share(pieces, [work.plan for work in works], index, count)
    reporter = Aside() if index else reporter
    with by_itself():
        if forks(device):
            worker = _worker(works, stream, zoo, store, options, reporter)
            if mine and mine[0].phase == "unlearning":
                with suppress(Exception):  # it comes again where the run is made, and is told there
                    worker.open(mine[0])
            # Trackers may start threads, and what has threads is not to be forked.
            Crew(mine, partial(_begin, worker), reporter, "fork", once=bool(options.trackers)).work(processes)
        else:
            begin = partial(_begin_anew, study, overrides, store.root, options)
            Crew(mine, begin, reporter, "spawn").work(processes)
    wait_for_all()
    if not index:  # once more: what could not be deleted may be by now
        store.tidy(options.redo)
    return works


def all_there(works: Sequence[Work], zoo: Zoo, store: Store) -> bool:
    """Whether everything of a study lies on the disk, with whatever result."""
    metrics = list(zoo.metrics.values())
    return not any(outstanding(w.plan, w.benchmark, store, metrics, attacks=w.attacks).size for w in works)


def _nothing(todos: Sequence[Outstanding], store: Store, reporter: Reporter) -> None:
    """Say that everything was there."""
    finished = sum(todo.finished for todo in todos)
    failed = sum(todo.failed for todo in todos)
    done = "the run is" if finished == 1 else f"all {finished} runs are"
    reporter.say(f"Nothing to do: {done} finished, in {store.root}.")
    if failed:
        reporter.say(f"{failed} of them without a result, see below: --redo tries again.")


def _worker(
    works: Sequence[Work],
    stream: Stream | None,
    zoo: Zoo,
    store: Store,
    options: Options,
    reporter: Reporter,
    elsewhere: Callable[[RunKey], Callable[[], Make]] | None = None,
) -> Worker:
    """What does pieces in this process, and in those forked from it: one thread, so that none is lost by a fork."""
    set_threads(1)  # before anything is computed
    accelerator = accelerate(options.mixed_precision, 1)
    from salmu_core.study.worker import Worker

    gc.freeze()  # accelerate collects garbage around every run: it need not look at what the libraries hold
    atexit.register(gc.unfreeze)  # some of them look at the end whether everything of theirs was let go
    return Worker(works, stream, store, list(zoo.metrics.values()), accelerator, options, reporter, elsewhere)


def _begin(worker: Worker, reporter: Reporter) -> Do:
    """Go on as a process of its own, with what was open before."""
    worker.report_to(reporter)
    return worker.do


def _begin_anew(
    study: Study, overrides: Mapping[str, Settings], results: Path, options: Options, reporter: Reporter
) -> Do:
    """Open everything again, in a fresh interpreter; runs are made in others."""
    elsewhere = partial(partial, _make_anew, study, overrides, results, options)
    return _anew(study, overrides, results, options, reporter, elsewhere).do


def _make_anew(study: Study, overrides: Mapping[str, Settings], results: Path, options: Options, run: RunKey) -> Make:
    """Open everything that a run needs, in a fresh interpreter that makes no other."""
    return _anew(study, overrides, results, options, Reporter()).make(run)


def _anew(
    study: Study,
    overrides: Mapping[str, Settings],
    results: Path,
    options: Options,
    reporter: Reporter,
    elsewhere: Callable[[RunKey], Callable[[], Make]] | None = None,
) -> Worker:
    zoo, store = discover(fresh=study.methods is None, kinds=["method"]), Store(results)
    stream, works = prepare(study, overrides, zoo, store, reporter)
    return _worker(works, stream, zoo, store, options, reporter, elsewhere)
