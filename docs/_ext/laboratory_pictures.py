"""Draws the pictures of the laboratory from ``study.json`` and ``metrics.json`` in ``benchmarks/laboratory/``."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from pictures import DATA as MINI
from pictures import INKS, Ink, canvas, place_names

from salmu_core.judge.protocol import MAX_KNOWLEDGE_DROP, MIN_HOLDOUT_RETENTION, MIN_LEAKAGE_REDUCTION

DATA = (MINI.parent / "study.json", MINI.parent / "metrics.json")
SHARES = (0, 25, 50, 75, 100)


@cache
def measured(which: int) -> dict[str, Any]:
    """Content of a data file."""
    table: dict[str, Any] = json.loads(DATA[which].read_text(encoding="utf-8"))
    return table


#: The budget whose points are drawn.
BUDGET = 5
#: Kind of a method -> its mark; whoever has none of these minimises a loss of its own.
KINDS = {"baseline": "o", "weights": "^", "wrapper": "D", "control": "X", "": "s"}
#: A leak below this is drawn as this: what is left is less than what Clean models differ by.
LEAST = 0.002
#: Points no further apart than this, up and down, share a name.
BESIDE = 0.015


def points(budget: float = BUDGET) -> dict[str, tuple[float, float, float]]:
    """Method -> the leak that is left, the change of GenKnow, and the share of the holdouts that is kept, the least."""
    found = {}
    for line in measured(0)["lines"]:
        if line["budget"] == budget:
            left = max(LEAST, min(1.0, 1 - line["leakage_reduction"]["value"]))
            kept = min(share["value"] for share in line["holdout_retention"].values())
            found[line["method"]] = left, line["knowledge_change"]["value"], kept
    return found


def unbeaten(values: dict[str, tuple[float, float]]) -> list[str]:
    """Those that no other beats in both: the smaller the first and the larger the second, the better."""
    return [
        name
        for name, (x, y) in sorted(values.items(), key=lambda item: item[1])
        if not any(a <= x and b >= y and (a, b) != (x, y) for a, b in values.values())
    ]


def apart(names: list[str], values: dict[str, tuple[float, float]]) -> list[str]:
    """Some of those, in their order, none of which lies at the height of the one before it."""
    kept = names[:1]
    for name in names[1:]:
        if abs(values[name][1] - values[kept[-1]][1]) > BESIDE:
            kept.append(name)
    return kept


#: What leads of a method -> its bar and where its axis ends.
AIMS: dict[str, tuple[float, tuple[float, float]]] = {
    "share of the leak that is left": (1 - MIN_LEAKAGE_REDUCTION, (LEAST / 1.5, 1.3)),
    "relative change of GenKnow": (-MAX_KNOWLEDGE_DROP, (-1.06, 0.12)),
    "share of the holdouts kept": (MIN_HOLDOUT_RETENTION, (-0.6, 1.12)),
}


def front(ink: Ink) -> Figure:
    """What is left of the leak against general knowledge, and against the holdouts; between them lies the trade."""
    found, tags = points(), measured(0)["tags"]
    (leak, (enough, ends)), *aims = AIMS.items()
    names: list[dict[str, tuple[float, float]]] = []
    with canvas(ink, 1, 2, (7.2, 4.6)) as (figure, axes):
        for column, (axis, (what, (bar, limits))) in enumerate(zip(axes, aims, strict=True), 1):
            axis.set(xscale="log", xlim=ends[::-1], ylim=limits, xlabel=leak, ylabel=what)
            axis.fill_between([ends[0], enough], bar, limits[1], color=ink.pass_area, linewidth=0)
            axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
            values = {name: (of[0], max(limits[0] + 0.03, of[column])) for name, of in found.items()}
            best = unbeaten(values)
            names.append({name: values[name] for name in apart(best, values)})
            axis.plot(*zip(*(values[name] for name in best), strict=True), color=ink.faint, linewidth=0.8, zorder=1)
            for name, (x, y) in values.items():
                mark = next((mark for kind, mark in KINDS.items() if kind in tags[name]), KINDS[""])
                colour = ink.method if name in best else ink.faint
                axis.plot(x, y, mark, markersize=5, color=colour, markerfacecolor=colour if name in best else "none")
        marks = [Line2D([], [], marker=mark, linestyle="", color=ink.faint) for mark in KINDS.values()]
        titles = [kind or "a loss" for kind in KINDS]
        figure.legend(marks, titles, loc="outside upper left", ncols=5, fontsize=8, frameon=False, labelcolor=ink.text)
        figure.canvas.draw()
        figure.set_layout_engine("none")  # names are placed on the page as it is now
        for axis, named in zip(axes, names, strict=True):
            place_names(figure, axis, [(x, y, name, ink.text) for name, (x, y) in named.items()])
    return figure


def by_budget() -> dict[str, list[tuple[float, float, float] | None]]:
    """Method -> its points, budget by budget, in the order of the page."""
    each = [points(budget) for budget in measured(0)["budgets"]]
    return {name: [found.get(name) for found in each] for name in points()}


def budgets(ink: Ink) -> Figure:
    """Where every method goes as its budget grows: a line of the picture for each, a mark for each budget."""
    found, sizes = by_budget(), [2.5 + 2 * n for n in range(len(measured(0)["budgets"]))]
    with canvas(ink, 1, len(AIMS), (7.2, 0.5 + 0.21 * len(found)), sharey=True) as (figure, axes):
        for column, (axis, (what, (bar, limits))) in enumerate(zip(axes, AIMS.items(), strict=True)):
            leak = what == next(iter(AIMS))
            lines = [[(of[column], size) for of, size in zip(at, sizes, strict=True) if of] for at in found.values()]
            worst = min(value - 0.06 for line in lines for value, _ in line)
            limits = limits[::-1] if leak else (min(limits[0], worst), limits[1])
            axis.set(xlabel=what, xlim=limits)
            if leak:
                axis.set_xscale("log")
                axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
            axis.axvspan(bar, limits[1], color=ink.pass_area, linewidth=0)
            for row, line in enumerate(lines):
                axis.plot([value for value, _ in line], [row] * len(line), color=ink.method, linewidth=1)
                for value, size in line:
                    axis.plot(value, row, "o", markersize=size, color=ink.method, markerfacecolor="none", clip_on=False)
        axes[0].set_yticks(range(len(found)), list(found), fontsize=8)
        axes[0].set_ylim(len(found) - 0.4, -0.6)
        for axis in axes:
            axis.tick_params(axis="y", length=0)
            axis.grid(axis="y", color=ink.faint, linewidth=0.3, alpha=0.5)
        marks = [
            Line2D([], [], marker="o", linestyle="", markersize=size, color=ink.method, markerfacecolor="none")
            for size in sizes
        ]
        titles = [f"budget {budget:g}" for budget in measured(0)["budgets"]]
        figure.legend(marks, titles, loc="outside upper left", ncols=5, fontsize=8, frameon=False, labelcolor=ink.text)
    return figure


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


_DRAWN: dict[str, Callable[[Ink], Figure]] = {"front": front, "budgets": budgets, "response": response}
NAMES = tuple(_DRAWN)


def alt(name: str) -> str:
    """What a picture says, for those who can't see it."""
    if name == "front":
        each = [
            f"{n}: {left:.1%} left, GenKnow {known:+.1%}, {kept:.0%} kept"
            for n, (left, known, kept) in points().items()
        ]
        return (
            f"Scatter of the leak that is left against the change of GenKnow and the holdouts kept. {'; '.join(each)}."
        )
    if name == "budgets":
        each = [
            f"{method}: "
            + ", then ".join(f"{of[0]:.1%}, {of[1]:+.1%}, {of[2]:.0%}" if of else "no run" for of in where)
            for method, where in by_budget().items()
        ]
        shown = ", ".join(f"{budget:g}" for budget in measured(0)["budgets"])
        return f"Leak that is left, change of GenKnow and holdouts kept at budgets of {shown}. {'; '.join(each)}."
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
