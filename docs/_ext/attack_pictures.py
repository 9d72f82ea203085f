"""Draws the pictures of ``attacks.md`` from ``attacks.json`` in ``benchmarks/laboratory/``."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from pictures import DATA as MINI
from pictures import INKS, Ink, canvas

DATA = MINI.parent / "attacks.json"
RELEARNING = ("relearn-retain", "relearn-leaked", "relearn-person")
#: Of a method that deletes less than this, what relearning "brings back" was never gone.
GONE = 0.5
STYLES = ("-", "--", "-.", ":")
MARKERS = "osD^v<>PX*"


@cache
def found() -> dict[str, Any]:
    """Content of the data file."""
    table: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return table


@cache
def lines() -> list[dict[str, Any]]:
    """Methods, those that deleted most first."""
    return sorted(found()["lines"], key=lambda line: -line["leak_gone"]["value"])


@cache
def attacks() -> list[str]:
    """Attacks, those that hold the original last."""
    known = found()["attacks"]
    return sorted(known, key=lambda name: ("original" in known[name]["given"], name))


def relearned() -> list[dict[str, Any]]:
    """Methods that delete something and leave a model that works: of others nobody asks what comes back."""
    working = [line for line in lines() if line["failure_modes"].get("catastrophic") != "holds"]
    return [line for line in working if line["leak_gone"]["value"] >= GONE]


def _share(line: dict[str, Any], attack: str) -> float:
    it = line["attacks"].get(attack)
    return it["recovered"]["value"] if it and it["recovered"] else float("nan")


def _field(ink: Ink) -> Figure:
    """Methods by attacks: a share in a cell, and its colour."""
    shares = np.array(
        [[1 - line["leak_gone"]["value"], *(_share(line, name) for name in attacks())] for line in lines()]
    )
    shade = LinearSegmentedColormap.from_list("back", ["#ffffff00", ink.compromised])
    with canvas(ink, 1, 1, (8.4, 0.34 * len(lines()) + 1.7)) as (figure, axis):
        axis.imshow(np.clip(shares, 0, 1), cmap=shade, vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(shares):
            text = "" if np.isnan(value) else f"{100 * round(value, 2) + 0.0:.0f}"
            axis.text(column, row, text, ha="center", va="center", fontsize=8, color=ink.text)
        axis.set_xticks(range(1 + len(attacks())), ["no attack", *attacks()], rotation=40, ha="left", fontsize=8)
        axis.set_yticks(range(len(lines())), [line["method"] for line in lines()], fontsize=8)
        axis.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
        axis.axvline(0.5, color=ink.faint, linewidth=0.8)
        given = sum("original" in found()["attacks"][name]["given"] for name in attacks())
        axis.axvline(len(attacks()) - given + 0.5, color=ink.faint, linewidth=0.8, linestyle=":")
        for side in axis.spines.values():
            side.set_visible(False)
    return figure


def _curve(line: dict[str, Any], attack: str) -> list[tuple[float, float]]:
    """Step and share, at the rate at which most is back at the end of some stage."""
    stages = [stage for stage in line["attacks"].get(attack, {}).get("stages", ()) if "recovered" in stage]
    if not stages:
        return []
    best = max(stages, key=lambda stage: stage["recovered"])["curve"]
    return sorted((stage["step"], stage["recovered"]) for stage in stages if stage["curve"] == best)


def _relearning(ink: Ink) -> Figure:
    with canvas(ink, 1, len(RELEARNING), (8.4, 3.6), sharey=True) as (figure, axes):
        for axis, attack in zip(axes, RELEARNING, strict=True):
            for number, line in enumerate(relearned()):
                if curve := _curve(line, attack):
                    before = line["attacks"][attack]["before"]["value"]
                    x, y = zip((0, before), *curve, strict=True)
                    axis.plot(
                        x,
                        y,
                        STYLES[number % len(STYLES)],
                        marker=MARKERS[number % len(MARKERS)],
                        markersize=4,
                        linewidth=1,
                        color=(ink.clean, ink.compromised, ink.method)[number % 3],
                        label=line["method"],
                    )
            axis.axhline(0, color=ink.faint, linewidth=0.8)
            axis.set(title=attack, xlabel="steps")
        axes[0].set_ylabel("share of the leak that is back")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(
            handles, names, loc="outside lower center", ncols=5, fontsize=7, frameon=False, labelcolor=ink.text
        )
    return figure


_DRAWN: dict[str, Callable[[Ink], Figure]] = {"attacks": _field, "relearning": _relearning}
NAMES = tuple(_DRAWN)


def alt(name: str) -> str:
    """What a picture says, for those who can't see it."""
    if name == "attacks":
        each = [
            f"{line['method']}: " + ", ".join(f"{_share(line, name):.0%} by {name}" for name in attacks())
            for line in lines()
        ]
        return f"Methods by attacks, the share of the leak that is back in each cell. {'; '.join(each)}."
    each = [
        f"{line['method']} {attack}: " + ", ".join(f"{share:.0%} at {step:.0f}" for step, share in _curve(line, attack))
        for attack in RELEARNING
        for line in relearned()
        if _curve(line, attack)
    ]
    return f"Lines of the share that is back over the steps of relearning. {'; '.join(each)}."


def draw(name: str, shade: str, file: Path) -> None:
    """Draw a picture into a file; its ending decides the format."""
    figure = _DRAWN[name](INKS[shade])
    svg = file.suffix == ".svg"
    figure.savefig(file, metadata={"Date": None} if svg else None, dpi=130, facecolor="none" if svg else None)
