"""Draws the pictures of the documentation from ``benchmarks/laboratory/mini.json``.

Every picture is drawn twice, for a light and for a dark page. Colours are of Okabe and Ito's set, told apart by
colour-blind eyes, and nothing is said by colour alone: references also differ in their line, verdicts in their mark.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from salmu_core.judge.protocol import MAX_KNOWLEDGE_DROP, MIN_HOLDOUT_RETENTION
from salmu_core.judge.protocol import MIN_LEAKAGE_REDUCTION as MIN_REDUCTION

DATA = Path(__file__).parents[2] / "benchmarks" / "laboratory" / "mini.json"
SHADES = ("light", "dark")
Values = dict[str, float]

#: Figures of the protocol that pictures are about.
LEAK, KNOWLEDGE, HOLDOUTS = "RetFail_MRR", "GenKnow", ("InterIdSim", "IntraIdSim")
#: Split -> its title in a picture.
SPLITS = {
    "forget": "forget: must go",
    "holdout_association": "holdout_association: must stay",
    "holdout_identity": "holdout_identity: must stay",
    "retain_joint": "retain_joint: must stay",
    "fragile_set": "fragile_set: must stay",
}


@dataclass(frozen=True)
class Ink:
    """The colours of a shade."""

    text: str
    faint: str
    pass_area: str
    compromised: str
    clean: str
    method: str
    fails: str


INKS = {
    "light": Ink("#1f2328", "#8b949e", "#009E7322", "#D55E00", "#0072B2", "#009E73", "#D55E00"),
    "dark": Ink("#e1e4e8", "#7d8590", "#009E7344", "#E69F00", "#56B4E9", "#1FBF92", "#E69F00"),
}


@cache
def measured() -> dict[str, Any]:
    """Content of the data file."""
    table: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return table


def references() -> dict[str, Values]:
    """Figures of the two reference models."""
    return {role: entry["metrics"] for role, entry in measured()["references"].items()}


def runs() -> list[dict[str, Any]]:
    """All valid runs."""
    return [run for run in measured()["runs"] if run["status"] == "valid"]


def chance_mrr() -> float:
    """Mean reciprocal rank of a caption among the gallery, if every rank is as likely."""
    size = int(measured()["gallery"]["gallery"])
    return math.fsum(1 / rank for rank in range(1, size + 1)) / size


@contextmanager
def canvas(ink: Ink, rows: int, columns: int, size: tuple[float, float], **how: Any) -> Iterator[tuple[Figure, Any]]:
    """A figure without a background, in a shade's colours."""
    look: Any = {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "svg.fonttype": "path",
        "svg.hashsalt": "salmu",
        "text.color": ink.text,
        "axes.labelcolor": ink.text,
        "axes.edgecolor": ink.faint,
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": ink.faint,
        "ytick.color": ink.faint,
        "xtick.labelcolor": ink.text,
        "ytick.labelcolor": ink.text,
    }
    with mpl.rc_context(look):
        figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", **how)
        figure.patch.set_alpha(0)
        for axis in figure.axes:
            axis.patch.set_alpha(0)
        try:
            yield figure, axes
        finally:
            plt.close(figure)


def outline(axis: Axes, edges: Sequence[float], counts: Sequence[int], **how: Any) -> None:
    """A histogram as a stepped line of shares."""
    total = sum(counts)
    axis.stairs([count / total for count in counts], edges, **how)


def cosines(method: str, ink: Ink) -> Figure:
    """How the cosines of each split lie, for both references and one method."""
    table = measured()
    edges = table["bin_edges"]
    (run,) = [run for run in runs() if run["method"] == method]
    shapes = {role: table["references"][role]["histograms"] for role in ("compromised", "clean")}
    with canvas(ink, len(SPLITS), 1, (7.2, 6.4), sharex=True, sharey=True) as (figure, axes):
        for axis, (split, title) in zip(axes, SPLITS.items(), strict=True):
            drawn = {
                method: (run["histograms"][split], {"color": ink.method, "fill": True, "alpha": 0.45}),
                "Compromised": (shapes["compromised"][split], {"color": ink.compromised, "lw": 1.6}),
                "Clean": (shapes["clean"][split], {"color": ink.clean, "lw": 1.6, "ls": (0, (3, 1.4))}),
            }
            for name, (counts, how) in drawn.items():
                outline(axis, edges, counts, label=name, **how)
            axis.set_title(title, pad=3)
            axis.set_yticks([])
            axis.spines["left"].set_visible(False)
            axis.axvline(0, color=ink.faint, lw=0.6, zorder=0)
        axes[-1].set_xlabel("cosine of an image with its own caption (height: share of the pairs)")
        axes[-1].set_xlim(-1, 1)
        named = figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False, fontsize=10
        )
        for text, colour in zip(named.get_texts(), (ink.method, ink.compromised, ink.clean), strict=True):
            text.set(color=colour, weight="bold")
    return figure


def verdicts(ink: Ink) -> Figure:
    """What each method leaks, keeps of general knowledge and keeps of the holdouts, beside the bars."""
    ref = references()
    shown = sorted(runs(), key=lambda run: -(run["leakage_reduction"] or 0))
    leak, known = ref["compromised"][LEAK], ref["compromised"][KNOWLEDGE]
    clean = ref["clean"]
    kept = {run["method"]: min(run["holdout_retention"].values()) for run in shown}
    panels: list[tuple[str, str, float, float, Callable[[dict[str, Any]], float]]] = [
        ("leak left", "ineffective", clean[LEAK] / leak, 1.0, lambda run: run["metrics"][LEAK] / leak),
        ("GenKnow left", "catastrophic", clean[KNOWLEDGE] / known, 1.0, lambda run: run["metrics"][KNOWLEDGE] / known),
        ("holdouts kept", "over-generalised", 0.0, 1.0, lambda run: kept[run["method"]]),
    ]
    names = [run["method"] for run in shown] + ["Clean", "Compromised"]
    with canvas(ink, 1, 3, (7.6, 1.1 + 0.24 * len(names)), sharey=True) as (figure, axes):
        for axis, (title, mode, at_clean, at_compromised, value) in zip(axes, panels, strict=True):
            for y, run in enumerate(shown):
                failed = mode in (run["failure_modes"] or ())
                axis.plot(
                    value(run),
                    y,
                    marker="X" if failed else "o",
                    ms=7.5,
                    color=ink.fails if failed else ink.method,
                    mew=0,
                )
            axis.plot(at_clean, len(shown), "D", ms=6, color=ink.clean)
            axis.plot(at_compromised, len(shown) + 1, "s", ms=6, color=ink.compromised, mfc="none", mew=1.6)
            axis.set_title(f"{title}\n✕ {mode}")
            axis.grid(axis="y", color=ink.faint, alpha=0.25, lw=0.6)
            axis.set_axisbelow(True)
            axis.tick_params(axis="y", length=0)
            axis.spines["left"].set_visible(False)
            axis.axhline(len(shown) - 0.5, color=ink.faint, lw=0.6)
        axes[0].set_yticks(range(len(names)), names)
        axes[0].invert_yaxis()
        axes[0].set_xscale("log")
        axes[0].set_xlim(2e-3, 1.6)
        axes[0].set_xticks([0.01, 0.1, 1], ["1%", "10%", "100%"])
        axes[0].axvspan(2e-3, 1 - MIN_REDUCTION, color=ink.pass_area, lw=0)
        axes[1].set_xlim(-0.06, 1.15)
        axes[1].axvspan(1 - MAX_KNOWLEDGE_DROP, 1.15, color=ink.pass_area, lw=0)
        axes[1].set_xticks([0, 0.5, 1], ["0%", "50%", "100%"])
        axes[2].set_xlim(-1.05, 1.2)
        axes[2].axvspan(MIN_HOLDOUT_RETENTION, 1.2, color=ink.pass_area, lw=0)
        axes[2].set_xticks([-1, 0, 1], ["-100%", "0%", "100%"])
        axes[2].axvline(0, color=ink.faint, lw=0.6)
    return figure


def place_names(figure: Figure, axis: Axes, marks: list[tuple[float, float, str, str]]) -> None:
    """Name points where there is room: beside, above or below each, clear of marks, other names and the frame."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    around = [
        (8, 0, "left", "center"),
        (-8, 0, "right", "center"),
        (0, 8, "center", "bottom"),
        (0, -8, "center", "top"),
        *(
            (dx * side, dy, "left" if side > 0 else "right", "center")
            for dx, dy in ((14, 16), (14, -16), (24, -30), (40, -44))
            for side in (1, -1)
        ),
    ]
    points = axis.transData.transform([(x, y) for x, y, _, _ in marks])
    frame = axis.get_window_extent(renderer)
    taken: list[Any] = []
    for x, y, name, colour in sorted(marks, key=lambda mark: (-mark[1], mark[0])):
        best: tuple[int, Annotation, Any] | None = None
        for dx, dy, ha, va in around:
            # A name that stands apart from its point is tied to it.
            tie = {"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkB": 4} if dx and dy else None
            label = axis.annotate(
                name, (x, y), (dx, dy), "data", "offset points", tie, ha=ha, va=va, fontsize=8.5, color=colour
            )
            label.update_positions(renderer)
            box = Text.get_window_extent(label, renderer)
            clashes = sum(box.overlaps(other) for other in taken)
            clashes += sum(box.padded(6).contains(*point) for point in points)
            clashes += 5 * (not (frame.contains(box.x0 - 4, box.y0 - 4) and frame.contains(box.x1, box.y1)))
            if best is None or clashes < best[0]:
                if best is not None:
                    best[1].remove()
                best = (clashes, label, box)
            else:
                label.remove()
            if not clashes:
                break
        assert best is not None
        taken.append(best[2])


def _share(value: float) -> str:
    return f"{value:.0%}"


def alt(name: str) -> str:
    """What a picture says, for those who can't see it."""
    ref = references()
    if name == "verdicts":
        each = [
            f"{run['method']}: {', '.join(run['failure_modes']) or 'no failure'}"
            for run in sorted(runs(), key=lambda run: -(run["leakage_reduction"] or 0))
        ]
        return (
            "Three panels with a mark per method: leak left, GenKnow left, and holdouts kept, each with the area in "
            f"which a method passes. {'; '.join(each)}."
        )
    method = name.removeprefix("cosines-")
    (run,) = [run for run in runs() if run["method"] == method]
    columns = ("AssocStr", *reversed(HOLDOUTS), "VisIdInt", "FragSim")
    each = [
        f"{split} {ref['compromised'][c]:.2f}, {ref['clean'][c]:.2f}, {run['metrics'][c]:.2f}"
        for split, c in zip(SPLITS, columns, strict=True)
    ]
    return f"Histograms of cosines on five splits. Means of Compromised, Clean and {method}: {'; '.join(each)}."


_DRAWN: dict[str, Callable[[Ink], Figure]] = {
    "verdicts": verdicts,
    **{f"cosines-{run['method']}": partial(cosines, run["method"]) for run in runs()},
}
NAMES = tuple(_DRAWN)


def draw(name: str, shade: str, file: Path) -> None:
    """Draw a picture into a file; its ending decides the format."""
    figure = _DRAWN[name](INKS[shade])
    svg = file.suffix == ".svg"
    figure.savefig(file, metadata={"Date": None} if svg else None, dpi=130, facecolor="none" if svg else None)
