"""A whole study, from what is asked for to results that lie in a folder.

Every benchmark is opened, the runs are planned and held against what is there already, and what is missing is done in
pieces, by this process or by several: first all methods unlearn, then all checkpoints are scored, then they are
attacked.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from salmu_core.contract.settings import Settings
from salmu_core.contract.specs import MetricSpec
from salmu_core.disk.files import sweep
from salmu_core.errors import UsageError
from salmu_core.machine import cache_folder
from salmu_core.plugins.zoo import Declared, Zoo
from salmu_core.run.accelerator import device_type
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import Store
from salmu_core.study.asked import Study
from salmu_core.study.engine import Engine, Order
from salmu_core.study.job import Job, made_of, worker
from salmu_core.study.launched import by_itself, launched, wait_for_all
from salmu_core.study.member import Local, forks
from salmu_core.study.on_card import on_card
from salmu_core.study.origin import notes
from salmu_core.study.otherwise import otherwise
from salmu_core.study.pieces import in_phases, in_turn, parallel, pieces_of
from salmu_core.study.prepare import Options, Work, prepare
from salmu_core.study.processes import Crew, spread
from salmu_core.study.relay import Do
from salmu_core.study.saying import Aside
from salmu_core.study.todo import Outstanding, older_note, outstanding
from salmu_core.study.tracking import Trackers

if TYPE_CHECKING:
    from salmu_core.study.worker import Worker


def carry_out(
    study: Study,
    overrides: Mapping[str, Settings],
    zoo: Zoo,
    store: Store,
    options: Options,
    reporter: Reporter,
    engine: Engine | None = None,
    part: tuple[int, int] | None = None,
) -> list[Work]:
    """Make what is missing of a study; of several processes that share it, what this one comes to.

    Args:
        study: What is to be run, as `prepare.check` found it.
        overrides: Settings that go over the study's, by method.
        engine: What carries it out instead of processes of this machine.
        part: Which of the processes that share it this is, and how many there are; by default as a launcher says.

    Raises:
        KeyboardInterrupt: Somebody stopped it; finished runs are kept.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends as Ctrl-C does
    metrics = list(zoo.metrics.values())
    stream, works = prepare(study, overrides, zoo, store, reporter)
    todos = _todos(works, metrics, store, options, reporter if part is None else Reporter())
    index, count = part or launched()
    if engine and count > 1:
        raise UsageError("--on spreads a study by itself: start one process, without a launcher.")
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
    if engine is not None:
        whole = Job(study, overrides, options, made_of(works, zoo))
        before = {planned.key: planned.before for work in works for planned in work.plan if planned.before}
        order = Order(whole, pieces, store, study.resources, options.processes, parallel(pieces), before)
        engine.work(order, reporter)
        store.tidy(options.redo)
        return works
    device, asked = device_type(), options.processes
    if count == 1 and not asked and device == "cuda":
        together = on_card(((work.benchmark, work.plan) for work in works), store, options.mixed_precision)
        asked = together.runs
        if together.runs > 1:
            reporter.say(together.why)
    processes = spread(asked, device, parallel(pieces)) if count == 1 else 1
    mine = in_turn(pieces, [work.plan for work in works], index, count, own=options.redo) if count > 1 else pieces
    reporter = Aside() if index and part is None else reporter
    with by_itself():
        if forks(device):
            doer = worker(works, stream, zoo, store, options, reporter)
            if mine and mine[0].phase == "unlearning":
                with suppress(Exception):  # it comes again where the run is made, and is told there
                    doer.open(mine[0])
            # Trackers may start threads, and what has threads is not to be forked.
            start = partial(Local, partial(_begin, doer), "fork")
            Crew(mine, start, reporter, once=bool(options.trackers)).work(processes)
        else:
            resource_tracker.ensure_running()  # it is none of those that are ended in the end
            begin = partial(Job(study, overrides, options).begin, store.root)
            Crew(mine, partial(Local, begin, "spawn"), reporter).work(processes)
    if part is None:
        wait_for_all()
    if not index:  # once more: what could not be deleted may be by now
        store.tidy(options.redo)
    return works


def _todos(
    works: Sequence[Work],
    metrics: Sequence[Declared[MetricSpec]],
    store: Store,
    options: Options,
    reporter: Reporter,
) -> list[Outstanding]:
    """What is missing on each benchmark, and what there is to be said of it."""
    todos = [outstanding(w.plan, w.benchmark, store, metrics, options.redo, w.attacks) for w in works]
    todos = todos if options.scores else [todo.unscored for todo in todos]
    ways = (w for work, todo in zip(works, todos, strict=True) for w in otherwise(work.plan, todo, store, options))
    origins = (planned.origin for todo in todos for planned in todo.runs)
    older = older_note(sum((todo.older for todo in todos), Counter()))
    for note in filter(None, [*(note for todo in todos for note in todo.notes), older, *ways, *notes(origins)]):
        reporter.say(note)
    return todos


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


def _begin(doer: Worker, reporter: Reporter) -> Do:
    """Go on as a process of its own, with what was open before."""
    doer.report_to(reporter)
    return doer.do
