"""Draws the picture of ``beyond.md`` from ``beyond.json`` in ``benchmarks/laboratory/``."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from pictures import DATA as MINI
from pictures import INKS, Ink, canvas, place_names

from salmu_core.judge.protocol import MIN_LEAKAGE_REDUCTION

DATA = MINI.parent / "beyond.json"
NAMES = ("beyond",)
#: What must be kept of the holdouts by cosine, and the goal for their retrieval.
KEPT, RETRIEVED = 0.9, 0.85


@cache
def lines() -> list[dict[str, Any]]:
    """Every method of the confirmation, once."""
    found = json.loads(DATA.read_text(encoding="utf-8"))
    all_lines = [*found["confirmation"]["lines"], *found.get("others", {"lines": []})["lines"]]
    return list({line["method"]: line for line in reversed(all_lines)}.values())


def _least(line: dict[str, Any], group: str) -> dict[str, Any]:
    found: dict[str, Any] = min(line[group].values(), key=lambda kept: kept["value"])
    return found


def _beyond(ink: Ink) -> Figure:
    with canvas(ink, 1, 1, (7.2, 4.4)) as (figure, axis):
        axis.axhline(0, color=ink.faint, linewidth=0.6)
        axis.fill_between([MIN_LEAKAGE_REDUCTION, 1.02], KEPT, 1.12, color=ink.pass_area, linewidth=0)
        axis.axvline(MIN_LEAKAGE_REDUCTION, color=ink.faint, linewidth=0.8, linestyle=":")
        names = []
        for line in lines():
            gone = line["leak_gone"]
            for group, full in (("kept", True), ("retrieval", False)):
                kept = _least(line, group)
                value = kept["value"]
                ends = [abs(value - (value if kept[end] is None else kept[end])) for end in ("low", "high")]
                axis.errorbar(
                    gone["value"],
                    value,
                    yerr=[[end] for end in ends],
                    fmt="o" if full else "D",
                    markersize=5,
                    markerfacecolor=ink.method if full else "none",
                    color=ink.method,
                    elinewidth=0.8,
                )
                if full:
                    names.append((gone["value"], value, line["method"], ink.text))
        axis.set(
            xlabel="share of the leak that is gone",
            ylabel="share of the holdouts that is kept\n(the less of the two sets)",
            xlim=(-0.05, 1.02),
            ylim=(min(_least(line, "kept")["low"] for line in lines()) - 0.1, 1.12),
        )
        place_names(figure, axis, names)
    return figure


def alt(name: str) -> str:
    """What a picture says, for those who can't see it."""
    each = [
        f"{line['method']}: {line['leak_gone']['value']:.1%} gone, {_least(line, 'kept')['value']:.0%} of the "
        f"similarity and {_least(line, 'retrieval')['value']:.0%} of the retrieval kept"
        for line in lines()
    ]
    return f"Scatter of the leak that is gone against what is kept of the holdouts. {'; '.join(each)}."


def draw(name: str, shade: str, file: Path) -> None:
    """Draw a picture into a file; its ending decides the format."""
    figure = _beyond(INKS[shade])
    svg = file.suffix == ".svg"
    figure.savefig(file, metadata={"Date": None} if svg else None, dpi=130, facecolor="none" if svg else None)
