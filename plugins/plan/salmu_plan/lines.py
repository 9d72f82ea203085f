"""What each line of a plan says: the command, and what it will take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from salmu_core.errors import StoreError
from salmu_core.show.escape import shell
from salmu_core.store.folders import Store, read_run
from salmu_core.store.records import RunRecord
from salmu_core.study.asked import Study
from salmu_core.study.plan import Planned
from salmu_core.study.prepare import Work

GIB = 2**30
#: How much more a scheduler is asked for than runs were seen to take, and what a process takes beside its run.
MARGIN, BESIDE_MINUTES, BESIDE_BYTES = 1.5, 2, 2 * GIB


@dataclass(frozen=True)
class Line:
    """One command: a run, or the requests of one sequence, with scores and attacks.

    Attributes:
        cards: Accelerators; a share of one where several fit.
        memory_gb: GiB of memory; None where nobody knows.
        minutes: Of time; None where nobody knows.
        finished: Whether all of it is made already.
        folder: The first run's, in the results folder.
    """

    command: str
    method: str
    budget: float
    seed: int
    benchmark: str
    cards: float
    memory_gb: float | None
    minutes: int | None
    finished: bool
    folder: str

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


@dataclass(frozen=True)
class Needs:
    """What was said of every line; None where it wasn't."""

    cards: float | None = None
    memory_gb: float | None = None
    minutes: int | None = None


def lines_of(
    works: Sequence[Work], study: Study, store: Store, unmade: Iterable[str], needs: Needs, more: Sequence[str]
) -> Iterator[Line]:
    """The lines of a plan, the costliest first.

    Args:
        store: Where results lie, and tell what runs of the same method took.
        unmade: Paths of runs that something is missing of.
        needs: What goes over the study's own `[resources]`, and that over what was seen.
        more: Options that every command has.
    """
    missing, resources = frozenset(unmade), study.resources
    for work in works:
        seen = _seen(store, work)
        sequences: dict[str, list[Planned]] = {}
        for planned in sorted(work.plan, key=lambda planned: -planned.key.budget):
            sequences.setdefault(planned.command, []).append(planned)
        for command, runs in sequences.items():
            key = runs[0].key
            minutes, memory = _expected(seen.get(key.method, []), sum(run.key.budget for run in runs))
            if resources.time_seconds:
                minutes = math.ceil(resources.time_seconds * len(runs) / 60)
            cards = resources.cards if needs.cards is None else needs.cards
            yield Line(
                command=shell(["X", "--output", str(store.root), *more]).replace("X", command, 1),
                method=key.method,
                budget=key.budget,
                seed=key.seed,
                benchmark=key.benchmark,
                cards=float(work_on_cards(seen)) if cards is None else cards,
                memory_gb=needs.memory_gb or (resources.memory_bytes or 0) / GIB or memory,
                minutes=needs.minutes or minutes,
                finished=not any(run.key.path.as_posix() in missing for run in runs),
                folder=key.path.as_posix(),
            )


def work_on_cards(seen: Mapping[str, Sequence[RunRecord]]) -> bool:
    """Whether finished runs were made on an accelerator."""
    devices = {str(record.environment.get("device", "cpu")) for records in seen.values() for record in records}
    return any(not device.startswith("cpu") for device in devices)


def _seen(store: Store, work: Work) -> dict[str, list[RunRecord]]:
    """Finished runs on the same benchmark, whatever the world, by method."""
    base, found = work.benchmark.name.partition("@")[0], dict[str, list[RunRecord]]()
    for name in store.benchmarks() if Path(store.root).is_dir() else []:
        if name.partition("@")[0] == base:
            for folder in store.runs(name):
                try:
                    record = read_run(folder)
                except StoreError:  # damaged: `salmu run` says so and makes it again
                    continue
                if record is not None and record.status == "valid":
                    found.setdefault(record.method, []).append(record)
    return found


def _expected(seen: Sequence[RunRecord], budget: float) -> tuple[int | None, float | None]:
    """Minutes and GiB of a budget, with a margin over the most that such runs took."""
    rates = [record.ledger.seconds / record.budget for record in seen if record.budget]
    peaks = [record.ledger.peak_memory_bytes for record in seen]
    if not rates:
        return None, None
    minutes = BESIDE_MINUTES + MARGIN * max(rates) * budget / 60
    return math.ceil(minutes), round((MARGIN * max(peaks) + BESIDE_BYTES) / GIB, 1)
