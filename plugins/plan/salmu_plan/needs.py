"""What a line of a plan needs of a machine: as asked, else by finished runs of its method, else by a rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from salmu_core.errors import SalmuError
from salmu_core.store.folders import RUN, Store, read_record
from salmu_core.store.records import RunRecord
from salmu_core.study.plan import Planned, Study

#: Where no run of the method is finished: minutes of a run, GB of memory, and cards.
MINUTES, MEMORY, CARDS = 60, 8, 1
#: So many times what the costliest finished run took; and what comes on top: loading and scoring, in minutes and GB.
MARGIN, MORE_MINUTES, MORE_MEMORY = 2, 10, 4


@dataclass(frozen=True)
class Needs:
    """What is to be asked of a scheduler.

    Attributes:
        cards: Accelerators.
        memory: Memory of the machine, in GB.
        minutes: Wall time.
        by: Where the figures come from, in a word or two.
    """

    cards: int = CARDS
    memory: int = MEMORY
    minutes: int = MINUTES
    by: str = "rule"


def needs_of(runs: Sequence[Planned], study: Study, store: Store, asked: dict[str, int]) -> Needs:
    """What a line needs; whatever a study file says of it has its place here.

    Args:
        runs: Those of the line, one after another.
        asked: Cards, memory and minutes that were asked for; what is absent is estimated.
    """
    needs = estimate(runs, store)
    return replace(needs, **asked, by="asked" if len(asked) == 3 else needs.by) if asked else needs


def estimate(runs: Sequence[Planned], store: Store) -> Needs:
    """By valid runs of the same method and benchmark, scaled by budget; by the rule where there are none."""
    known = [*_known(store, runs[0])]
    if not known:
        return Needs(minutes=MINUTES * len(runs))
    seconds = sum(max(r.ledger.seconds * max(1.0, one.key.budget / r.budget) for r in known) for one in runs)
    memory = max(record.ledger.peak_memory_bytes for record in known) / 1e9
    return Needs(
        cards=int(any(_on_card(record) for record in known)),
        memory=max(MORE_MEMORY, math.ceil(MARGIN * memory) + MORE_MEMORY),
        minutes=math.ceil(MARGIN * seconds / 60) + MORE_MINUTES,
        by=f"{len(known)} finished",
    )


def _known(store: Store, planned: Planned) -> Iterator[RunRecord]:
    for path in sorted((store.root / planned.key.benchmark / planned.key.method).glob(f"*/*/{RUN}")):
        try:
            record: Any = read_record(path, RunRecord)
        except SalmuError:  # what is damaged says nothing
            continue
        if record is not None and record.status == "valid":
            yield record


def _on_card(record: RunRecord) -> bool:
    """Whether it was made on an accelerator: those of a CPU name the kind of device first."""
    return not record.environment.get("device", "cpu").startswith("cpu")
