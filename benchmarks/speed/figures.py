"""What is measured here, as it stands in ``docs/data/speed.json``: ratios of sides that took turns in one run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "data" / "speed.json"
LIBRARIES = ("torch", "accelerate", "numpy", "open-clip-torch")
#: A measured number, to as many digits as repeat.
Number = Annotated[float, AfterValidator(lambda value: float(f"{value:.4g}"))]


class Frozen(BaseModel):
    """Base of everything measured: closed, immutable, finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Figure(Frozen):
    """One figure and what it should be."""

    what: str
    to: str = ""
    """What it is held against, where it is a ratio."""
    unit: Literal["times", "percent more", "s", "exponent", "difference"] = "times"
    value: Number
    low: Number
    """The lower quartile of what was measured, of which `value` is the median."""
    high: Number
    rounds: int
    ours: Number | None = None
    """Median processor seconds of the two sides, where it is a ratio."""
    theirs: Number | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def short(self) -> bool:
        """Whether it falls short of its aim."""
        most, least = self.at_most, self.at_least
        return (most is not None and self.value > most) or (least is not None and self.value < least)


class Machine(Frozen):
    """Where it was measured, and with what."""

    processor: str
    cores: int
    python: str
    libraries: dict[str, str]


class Part(Frozen):
    """What one script measured."""

    date: str
    commit: str
    against: str
    """Commit of the other checkout; empty where there is none."""
    seconds: Number
    """That it took, by the clock."""
    machine: Machine
    figures: tuple[Figure, ...]


class Speed(Frozen):
    """``docs/data/speed.json``: name of a script -> what it measured."""

    parts: dict[str, Part] = {}


Rounds = dict[str, list[float]]


def in_turn(sides: Mapping[str, Callable[[], float]], rounds: int, warm: int = 1) -> Rounds:
    """Let sides measure themselves in turn.

    Args:
        sides: Name -> does some work and returns what it cost.
        rounds: How often.
        warm: Rounds before these, which don't count.

    Returns:
        Name -> cost in each round. Every other round goes backwards: a machine that slows down does so for all.
    """
    costs: Rounds = {name: [] for name in sides}
    for number in range(warm + rounds):
        for name in [*sides][:: -1 if number % 2 else 1]:
            cost = sides[name]()
            if number >= warm:
                costs[name].append(cost)
    return costs


def ratio(what: str, to: str, costs: Rounds, sides: tuple[str, str], *, more: bool = False, **aim: float) -> Figure:
    """The cost of one side as a multiple of another's, round by round; with ``more``, how many percent more."""
    first, second = (costs[name] for name in sides)
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    values = [100 * (value - 1) for value in ratios] if more else ratios
    medians = {"ours": statistics.median(first), "theirs": statistics.median(second)}
    unit: Literal["percent more", "times"] = "percent more" if more else "times"
    return spread(what, values, unit=unit, to=to, **medians, **aim)


def spread(what: str, values: Sequence[float], **more: object) -> Figure:
    """A figure of what was measured several times: the median, and the quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * [*values]
    return Figure.model_validate(
        {"what": what, "value": middle, "low": low, "high": high, "rounds": len(values), **more}
    )


def machine() -> Machine:
    """This one."""
    return Machine(
        processor=processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        python=platform.python_version(),
        libraries={name: importlib.metadata.version(name) for name in LIBRARIES},
    )


def processor() -> str:
    """Its name, where the system says it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit(checkout: Path) -> str:
    """The commit of a checkout; with a plus sign where its tracked files differ from it, data of measurements apart."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", checkout, *words], capture_output=True, text=True, check=True).stdout

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/data").strip()
    return git("rev-parse", "--short=12", "HEAD").strip() + "+" * bool(changed)
