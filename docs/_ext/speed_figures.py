"""What ``benchmarks/speed/measure.py`` measured, as Markdown: tables, and what falls short of its aim."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data" / "speed.json"
NOT_YET = "**Not measured yet.**\n"
SHORT = "short"

Figure = Mapping[str, Any]


def text(name: str, path: Path = DATA) -> str:
    """The table of one part, by its script's name; or for ``short``, the figures that fall short."""
    parts = json.loads(path.read_text(encoding="utf-8"))["parts"] if path.is_file() else {}
    if name == SHORT:
        return _short(parts) if parts else NOT_YET
    return _part(parts[name]) if name in parts else NOT_YET


def _part(part: Mapping[str, Any]) -> str:
    machine = part["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    against = f", against commit {part['against']}" if part["against"] else ""
    where = (
        f"Measured on {part['date']} at commit {part['commit']}{against}, on {machine['cores']} cores of an "
        f"{machine['processor']}, with Python {machine['python']}, {libraries}; in {part['seconds']:.0f} seconds.\n"
    )
    header = ("", "held against", "figure", "quartiles", "rounds", "aim", "processor seconds")
    rows = [header, ("---",) * len(header), *map(_row, part["figures"])]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + f"\n\n{where}"


def _row(figure: Figure) -> tuple[str, ...]:
    costs = [f"{figure[side]:.3g}" for side in ("ours", "theirs") if side in figure]
    value = f"**{_number(figure, 'value')}**" if is_short(figure) else _number(figure, "value")
    quartiles = f"{_number(figure, 'low')} to {_number(figure, 'high')}" if figure["rounds"] > 1 else "-"
    if figure["unit"] == "difference":
        quartiles = "-"  # one number over all steps
    against = figure["to"]
    return (figure["what"], against, value, quartiles, str(figure["rounds"]), _aim(figure), " / ".join(costs))


def _number(figure: Figure, name: str) -> str:
    value = figure[name]
    return {
        "times": f"{value:.2f}",
        "percent more": f"{value:+.1f}%",
        "s": f"{value:.2f} s",
        "exponent": f"{value:.2f}",
        "difference": f"{value:.1e}",
    }[figure["unit"]]


def _aim(figure: Figure) -> str:
    sign = {"at_most": "≤", "at_least": "≥"}
    unit = {"percent more": "%", "s": " s"}.get(figure["unit"], "")
    return " ".join(f"{sign[name]} {figure[name]:g}{unit}" for name in sign if name in figure)


def is_short(figure: Figure) -> bool:
    """Whether a figure falls short of its aim."""
    above = "at_most" in figure and figure["value"] > figure["at_most"]
    return above or ("at_least" in figure and figure["value"] < figure["at_least"])


def _precisely(figure: Figure) -> str:
    """A figure with a digit more where it would look like its aim."""
    number = _number(figure, "value")
    return f"{figure['value']:.3f}" if number in _aim(figure).split() else number


def _short(parts: Mapping[str, Any]) -> str:
    figures = [figure for part in parts.values() for figure in part["figures"]]
    lacking = [figure for figure in figures if is_short(figure)]
    aims = sum("at_most" in figure or "at_least" in figure for figure in figures)
    if not lacking:
        return f"Of {aims} figures that have an aim, none falls short.\n"
    lines = [
        f"* {', held against '.join(filter(None, [figure['what'], figure['to']]))}: {_precisely(figure)} "
        f"where {_aim(figure)} was aimed at"
        for figure in lacking
    ]
    return f"Of {aims} figures that have an aim, these fall short:\n\n" + ";\n".join(lines) + ".\n"
