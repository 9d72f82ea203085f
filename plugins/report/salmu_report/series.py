"""What the pictures are drawn from: rows of lines, reference models and runs. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from salmu_core.judge.compare import labels
from salmu_core.judge.diagnosis import Verdict
from salmu_core.judge.lines import HOLDOUT_PLACE, KNOWLEDGE, Comparison
from salmu_core.judge.protocol import MAX_KNOWLEDGE_DROP, MIN_HOLDOUT_RETENTION
from salmu_core.judge.recoverable import Recovery
from salmu_core.judge.results import Results, Row
from salmu_core.judge.statistics import Interval
from salmu_core.judge.targets import leading
from salmu_core.show import words
from salmu_core.show.words import modes
from salmu_core.store.records import RunRecord
from salmu_report.filters import exact

#: Points kept of a training curve.
POINTS = 80

#: What the leak is drawn against -> whose front is marked there.
FRONTS = {"knowledge": KNOWLEDGE, "kept": HOLDOUT_PLACE}
#: A leak of nothing has no place on a scale of logarithms: the least that is drawn.
_LEAST = 1e-5

Drawn = dict[str, Any]


def lines(comparison: Comparison) -> list[Drawn]:
    """One row for each line that has a leak."""
    drawn, (leak, knowledge) = [], _leading(comparison)
    for line in comparison.lines:
        if leak not in line.figures:
            continue
        row = {
            "label": line.label,
            "method": line.method,
            "series": f"{line.method} {line.config_hash}",
            "budget": line.budget,
            "exact": exact(line.budget),
            "runs": len(line.rows),
            "needs": line.needs,
            **{f"front_{y}": line.fronts.get(aim) for y, aim in FRONTS.items()},
            "modes": modes(line.diagnosis),
            **_ends("leak", line.figures[leak].value, floor=_LEAST),
        }
        if knowledge in line.figures:
            row |= _ends("knowledge", line.figures[knowledge].value)
        if line.all_kept is not None:
            row |= _ends("kept", line.all_kept)
        drawn.append(row)
    return drawn


def _leading(comparison: Comparison) -> tuple[str, str]:
    """The figures that lead the leak and general knowledge."""
    return leading(comparison.columns, "leak"), leading(comparison.columns, "knowledge")


def _ends(name: str, interval: Interval, floor: float | None = None) -> Drawn:
    """Value and ends of an interval; an end that is not known is the value."""
    ends = [end if isfinite(end) else interval.value for end in (interval.value, interval.low, interval.high)]
    value, low, high = (_short(end if floor is None else max(end, floor)) for end in ends)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _short(value: float) -> float:
    return float(f"{value:.5g}")


#: What a verdict of one attack is called; nothing is said of one that is weak, or needs the original.
_SHOWN = {Verdict.HOLDS: "recoverable", Verdict.OPEN: "recoverable?", Verdict.CLEAR: "below the bar"}
#: Model -> whose figure of a stage is its own.
_STAGES = {"unlearned": "attacked", "clean": "clean", "compromised": "compromised"}


def verdict_of(it: Recovery) -> str:
    """What an attack shows, in a few words."""
    if it.verdict is not None:
        return _SHOWN[it.verdict]
    return "a diagnosis" if not it.is_judged else "shows nothing"


def attacked(comparison: Comparison) -> list[Drawn]:
    """Of each line that was attacked what every attack brings back, and its figure from stage to stage."""
    return [
        {
            "label": f"{line.label}, b {line.budget:g}",
            "shares": [
                {
                    "attack": f"{it.label} ({it.figure}): {verdict_of(it)}",
                    "bar": _short(it.bar),
                    "before": _short(it.before.value if it.before else it.recovered.value),
                    **_ends("recovered", it.recovered),
                }
                for it in line.recoveries
                if it.recovered is not None
            ],
            "curves": [curve for it in line.recoveries for curve in _stages(it)],
        }
        for line in comparison.lines
        if any(it.attacked is not None for it in line.recoveries)
    ]


def _stages(it: Recovery) -> Iterator[Drawn]:
    """Each curve of an attack by stages: the figure of the run and of both reference models at every step."""
    placed = [stage for stage in it.stages if stage["step"] is not None]
    for curve in dict.fromkeys(stage["curve"] for stage in placed):
        points = [
            {"model": model, "step": stage["step"], "value": _short(stage[whose]), "stage": stage["label"]}
            for stage in placed
            if stage["curve"] == curve
            for model, whose in _STAGES.items()
            if whose in stage
        ]
        told = "".join(_on_the_way(known) for known in it.curves if known["curve"] == curve and known["mean"])
        yield {"attack": it.label, "figure": it.figure, "curve": curve, "told": told, "points": points}


def _on_the_way(curve: Mapping[str, Any]) -> str:
    """How much of the leak is back on the way along a curve, and how soon half of it is."""
    mean, soon = curve["mean"], curve["half"]
    half = f"half after {soon:.3g}" if soon is not None else "never half"
    return f"back on the way: {words.percent(mean.value)} {words.half(mean, '.0%')}".rstrip() + f"; {half}"


def references(comparison: Comparison) -> list[Drawn]:
    """Compromised, Clean, and the corner both aims meet in: Clean's leak, and what Compromised knows and keeps."""
    values = {
        role: {name: figure.value.value for name, figure in figures.items()}
        for role, figures in comparison.references.items()
    }
    drawn, (leak, knowledge) = [], _leading(comparison)
    for role, name, of_leak, rest, share in (
        ("compromised", "Compromised", "compromised", "compromised", 1.0),
        ("clean", "Clean", "clean", "clean", 0.0),
        ("ideal", "ideal", "clean", "compromised", 1.0),
    ):
        if leak in values.get(of_leak, {}):
            row = {"role": role, "name": name, "leak": _short(max(values[of_leak][leak], _LEAST)), "kept": share}
            if knowledge in values.get(rest, {}):
                row["knowledge"] = _short(values[rest][knowledge])
            drawn.append(row)
    return drawn


def ends(rows: Sequence[Drawn], corner: Sequence[Drawn], y: str, bar: float) -> dict[str, Any] | None:
    """Where a trade-off's axes end and which corner passes; None where nothing can be drawn.

    Args:
        rows: As `lines` gives them, of everything that is ever shown in it.
        corner: As `references` does.
        y: ``knowledge`` or ``kept``.
        bar: The leak a method may leave.
    """
    points = [row for row in (*rows, *corner) if y in row]
    ideal = next((row for row in corner if row["role"] == "ideal" and y in row), None)
    if ideal is None or not any(y in row for row in rows):
        return None
    left, right = min(row["leak"] for row in points) / 3, max(row["leak"] for row in points) * 1.6
    low = min(row.get(f"{y}_low", row[y]) for row in points)
    high = max(row.get(f"{y}_high", row[y]) for row in points)
    room = 0.08 * (high - low) or 0.05
    least = ideal[y] * (1 - MAX_KNOWLEDGE_DROP) if y == "knowledge" else MIN_HOLDOUT_RETENTION
    bottom, top = low - room, high + room
    return {
        "x": [_short(left), _short(right)],
        "y": [_short(bottom), _short(top)],
        "passes": {"x": _short(left), "x2": _short(max(left, bar)), "y": _short(least), "y2": _short(top)},
        "clean_above": any(row["role"] == "clean" and row.get(y, 0.0) > ideal[y] for row in corner),
    }


def leak_bar(comparison: Comparison) -> float:
    """The leak a method may leave, by the bar the verdicts ask for; 0 where it is not known."""
    bars = [line.diagnosis.evidence.bar for line in comparison.lines]
    start = comparison.references.get("compromised", {}).get(_leading(comparison)[0])
    return (1 - min(bars)) * start.value.value if bars and start else 0.0


def curves(row: Row) -> dict[str, list[list[float]]]:
    """The scalars a run logged: name -> steps and values, thinned out evenly to `POINTS` and the last one."""
    thinned = {}
    for name, points in (row.record.scalars if row.record else {}).items():
        every = -(-len(points) // POINTS)
        chosen = points[::every] + (points[-1:] if (len(points) - 1) % every else [])
        thinned[name] = [[step, _short(value)] for step, value in chosen if isfinite(value)]
    return {name: points for name, points in thinned.items() if len(points) > 1}


def runs(results: Results) -> list[Drawn]:
    """One row for each valid run, with its cost and its training curves."""
    line_labels = labels(results.rows)
    return [
        {
            "key": str(row.folder),
            "run": run_name(row, line_labels),
            "method": row.method,
            "world": row.world,
            "budget": exact(row.record.budget),
            "seed": row.record.seed,
            "needs": row.record.needs,
            "seconds": _seconds(row.record),
            "curves": curves(row),
        }
        for row in results.runs
        if row.status == "valid" and row.record
    ]


def seconds(results: Results) -> list[float]:
    """What each valid run took."""
    return [_seconds(row.record) for row in results.runs if row.status == "valid" and row.record]


def _seconds(record: RunRecord) -> float:
    return max(record.ledger.seconds, 0.01)  # a logarithm is taken of it


def run_name(row: Row, line_labels: Mapping[tuple[str, str], str]) -> str:
    """A run in words."""
    if row.record is None:
        return f"{row.method}, {row.world}"
    label = row.task.label(line_labels[row.method, row.record.variant])
    return f"{label}, {row.world}, b {row.record.budget:g}, s {row.record.seed}"


def methods(rows: Iterable[Row]) -> list[str]:
    """Names of the methods, in order of their colours."""
    return sorted({row.method for row in rows})
