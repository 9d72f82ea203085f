"""Draws the pictures of the laboratory from ``study.json`` and ``metrics.json`` in ``benchmarks/laboratory/``."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from pictures import DATA as MINI
from pictures import INKS, Ink, canvas

from salmu_core.judge.protocol import MAX_KNOWLEDGE_DROP, MIN_LEAKAGE_REDUCTION

DATA = (MINI.parent / "study.json", MINI.parent / "metrics.json")
SHARES = (0, 25, 50, 75, 100)


@cache
def measured(which: int) -> dict[str, Any]:
    """Content of a data file."""
    table: dict[str, Any] = json.loads(DATA[which].read_text(encoding="utf-8"))
    return table


def _error(found: dict[str, float]) -> list[list[float]]:
    return [[found["value"] - found["low"]], [found["high"] - found["value"]]]


def front(ink: Ink) -> Figure:
    """Leak that is gone against GenKnow that is left, of every method at both budgets, with intervals over worlds."""
    lines = measured(0)["lines"]
    with canvas(ink, 1, 1, (7.2, 4.2)) as (figure, axis):
        axis.axhspan(-MAX_KNOWLEDGE_DROP, 0.12, xmin=0, color=ink.pass_area, linewidth=0)
        axis.axvline(MIN_LEAKAGE_REDUCTION, color=ink.faint, linewidth=0.8, linestyle=":")
        axis.axhline(-MAX_KNOWLEDGE_DROP, color=ink.faint, linewidth=0.8, linestyle=":")
        for method in dict.fromkeys(line["method"] for line in lines):
            points = [line for line in lines if line["method"] == method]
            x = [p["leakage_reduction"]["value"] for p in points]
            y = [p["knowledge_change"]["value"] for p in points]
            axis.plot(x, y, color=ink.faint, linewidth=0.8, zorder=1)
            for point in points:
                gone, known = point["leakage_reduction"], point["knowledge_change"]
                few = point["budget"] == min(measured(0)["budgets"])
                axis.errorbar(
                    gone["value"],
                    known["value"],
                    xerr=_error(gone),
                    yerr=_error(known),
                    fmt="o",
                    markersize=5,
                    markerfacecolor="none" if few else ink.method,
                    color=ink.method,
                    elinewidth=0.8,
                    zorder=2,
                )
            low = y[-1] < -0.5 or x[-1] > 0.6
            axis.annotate(
                method,
                (x[-1], y[-1]),
                textcoords="offset points",
                xytext=(-8, SHIFTS.get(method, 4)) if low else (8, SHIFTS.get(method, 4)),
                ha="right" if low else "left",
                fontsize=8,
            )
        axis.set(xlabel="share of the leak that is gone", ylabel="relative change of GenKnow", xlim=(-0.03, 1.04))
        axis.set_ylim(-1.05, 0.12)
    return figure


#: Points by which names that would lie on each other are moved up.
SHIFTS = {"cliperase": 12, "delete": 2, "vlunlearn": -8, "shuffled-captions": 2, "negative-gradient": -1}


def response(ink: Ink) -> Figure:
    """Where models lie that saw a share of the sensitive pairs, between Clean and Compromised, by metric."""
    figures = measured(1)["figures"]
    pillars = {"efficacy": "efficacy: Clean is the target", "utility": "utility: Compromised is the target"}
    with canvas(ink, 1, 2, (7.2, 3.4), sharey=True) as (figure, axes):
        for axis, (pillar, title) in zip(axes, pillars.items(), strict=True):
            axis.plot([0, 100], [0, 1], color=ink.faint, linewidth=0.8, linestyle=":")
            names = [name for name, each in figures.items() if each["pillar"] == pillar and name != "GenKnow"]
            for number, name in enumerate(names):
                shares = [figures[name]["response"][str(share)] for share in SHARES]
                style = ("-", "--", "-.", ":")[number % 4]
                marker = "osD^v<>P"[number % 8]
                colour = (ink.clean, ink.compromised, ink.method)[number % 3]
                axis.plot(SHARES, shares, style, marker=marker, markersize=4, linewidth=1, color=colour, label=name)
            axis.set(title=title, xlabel="% of the sensitive pairs seen", xticks=SHARES)
            axis.legend(fontsize=7, frameon=False, labelcolor=ink.text)
        axes[0].set_ylabel("Clean = 0, Compromised = 1")
    return figure


_DRAWN: dict[str, Callable[[Ink], Figure]] = {"front": front, "response": response}
NAMES = tuple(_DRAWN)


def alt(name: str) -> str:
    """What a picture says, for those who can't see it."""
    if name == "front":
        each = [
            f"{line['method']} at {line['budget']:g}: {line['leakage_reduction']['value']:.1%} gone, GenKnow "
            f"{line['knowledge_change']['value']:+.1%}"
            for line in measured(0)["lines"]
        ]
        return f"Scatter of the leak that is gone against the change of GenKnow. {'; '.join(each)}."
    each = [
        f"{name} " + ", ".join(f"{found['response'][str(share)]:.2f}" for share in SHARES)
        for name, found in measured(1)["figures"].items()
    ]
    return f"Lines over 0, 25, 50, 75 and 100% of the sensitive pairs seen. {'; '.join(each)}."


def draw(name: str, shade: str, file: Path) -> None:
    """Draw a picture into a file; its ending decides the format."""
    figure = _DRAWN[name](INKS[shade])
    svg = file.suffix == ".svg"
    figure.savefig(file, metadata={"Date": None} if svg else None, dpi=130, facecolor="none" if svg else None)
