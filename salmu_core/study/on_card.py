"""How many runs of a study share one card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from salmu_core.benchmark.folder import Benchmark
from salmu_core.clip.name import CONFIG, find_model
from salmu_core.contract.layout import WEIGHTS
from salmu_core.disk.reading import read_json
from salmu_core.errors import FileError, StoreError
from salmu_core.machine import usable_cores
from salmu_core.run.card import Card, first_card
from salmu_core.run.sharing import CHUNK, CONTEXT, memory_of_run, runs_at_a_time
from salmu_core.store.folders import Store, read_run
from salmu_core.study.plan import Planned

GIB = 2**30


@dataclass(frozen=True)
class OnCard:
    """What was decided.

    Attributes:
        runs: At a time.
        why: The same for people.
    """

    runs: int = 1
    why: str = ""


def on_card(works: Iterable[tuple[Benchmark, Sequence[Planned]]], store: Store, precision: str | None) -> OnCard:
    """Decide from the card's free memory, which is looked at without touching the card, and from what runs take.

    Args:
        works: Benchmarks and the runs that are planned on them.
        store: Where results lie: what finished runs took is known better.
        precision: As accelerate calls it.
    """
    card = first_card()
    if card is None:
        return OnCard()
    runs, largest = [], 0
    for benchmark, plan in works:
        pairs = 2 * max(getattr(planned.config, "batch_size", CHUNK) for planned in plan)
        weights, estimate = _model(benchmark, pairs, precision in ("bf16", "fp16"))
        if not weights:
            return OnCard()
        memory = max((size for size in (estimate, _measured(plan, store, card)) if size), default=None)
        runs.append(runs_at_a_time(card, memory, weights, pairs, usable_cores()))
        largest = max(largest, memory or 0)
    number = min(runs, default=1)
    why = (
        f"{number} runs at a time on {card.name}, which one alone would leave waiting: each takes about "
        f"{largest / GIB:.1f} of the {card.free / GIB:.1f} GiB that are free. --processes sets another number."
    )
    return OnCard(number, why if number > 1 else "")


def _model(benchmark: Benchmark, pairs: int, half: bool) -> tuple[int, int | None]:
    """How many weights the model that runs begin with has, 0 for unknown, and what a run takes by that, in bytes."""
    folder = find_model(benchmark.model("compromised")).folder
    try:
        assert folder is not None, "an architecture or a model on a hub"
        weights = (folder / WEIGHTS).stat().st_size // 4
        config = read_json(folder / CONFIG)
    except (AssertionError, OSError, FileError):
        return 0, None
    return weights, memory_of_run(config, weights, pairs, half)


def _measured(plan: Sequence[Planned], store: Store, card: Card) -> int | None:
    """The most bytes that finished runs of a plan took on such a card."""
    peaks = []
    for planned in plan:
        try:
            record = read_run(store.folder(planned.key))
        except StoreError:  # damaged: it will be said elsewhere
            continue
        if record is not None and record.environment.get("device") == card.name:
            peaks.append(record.ledger.peak_memory_bytes)
    return CONTEXT + max(peaks) if any(peaks) else None
