"""How figures are written on the page, beside what every table says alike."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from salmu_core.judge.statistics import Interval
from salmu_core.machine import without_secrets
from salmu_core.show import words
from salmu_core.store.records import Ledger


def exact(value: float) -> str:
    """A budget so that no two are written alike, as in a run's path."""
    return f"{value:.15g}"


def place(places: tuple[int, int] | None) -> str:
    """First and last place, which are one where nobody shares it."""
    if places is None:
        return "-"
    return f"{places[0]}" if places[0] == places[1] else f"{places[0]}-{places[1]}"


def ends(interval: Interval) -> str:
    """An interval by its ends."""
    if not isfinite(interval.high - interval.low):
        return ""
    return f"{words.number(interval.low)} to {words.number(interval.high)}"


def seconds(value: float) -> str:
    """Wall time: seconds, two digits of what is less than one."""
    return f"{value:,.1f}" if value >= 1 else f"{value:.2g}"


def size(bytes_: int) -> str:
    """Memory, in GiB or MiB."""
    return f"{bytes_ / 2**30:.1f} GiB" if bytes_ >= 2**30 else f"{bytes_ / 2**20:.0f} MiB"


def drawn(ledger: Ledger) -> str:
    """Pairs a run saw."""
    return f"{ledger.forget_samples:,} + {ledger.retain_samples:,}"


FILTERS: dict[str, Callable[..., Any]] = {
    "number": words.number,
    "half": words.half,
    "signed": words.signed,
    "exact": exact,
    "percent": words.percent,
    "ends": ends,
    "home": without_secrets,
    "seconds": seconds,
    "place": place,
    "size": size,
    "drawn": drawn,
    "held": words.held,
}
