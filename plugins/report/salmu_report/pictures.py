"""The report's pictures as files for print: SVG, or PNG of twice the size. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from salmu_core.show.escape import visible_lines
from salmu_report import charts
from salmu_report.drawings import attributes, drawings, histograms
from salmu_report.report import Report

#: Widths in points, as pictures in one and in two columns of a paper have them.
WIDE, NARROW = 460, 210
#: Panels of a picture that stand side by side.
ACROSS = 3
FORMATS = ("svg", "png")
_DENSITY = 300

Spec = dict[str, Any]


def figures(report: Report) -> Iterator[tuple[str, Spec]]:
    """Name and specification of each picture, its data in it."""
    data = drawings(report)
    sets = {"lines": data["views"]["all"], "references": data["references"], "runs": data["runs"]}
    for name, title in (("knowledge", "tradeoff-genknow"), ("kept", "tradeoff-holdouts"), ("cost", "cost")):
        if name in data["specs"] and (name != "cost" or data["runs"]):
            rows = {key: [row for row in all_rows if name == "cost" or name in row] for key, all_rows in sets.items()}
            yield title, _picture(_with(data["specs"][name], rows), report)
    cosines = histograms(report, legend=True)
    for number, line in enumerate(cosines["lines"]):
        panels = [
            {**panel["spec"], "data": {"values": charts.bins(panel, str(number))}}
            for panel in cosines["panels"]
            if str(number) in panel["shares"]
        ]
        if panels:
            yield f"cosines-{line}", _picture(_grid(panels), report, line)
    for what, table in attributes(report).items():
        cells = [
            {"label": f"{line.label}, b {line.budget:g}", "field": field, "share": cell.share.value, "bad": cell.bad}
            for line, row in table["rows"]
            for field, cell in row.items()
            if cell.share is not None
        ]
        spec = charts.heatmap(table["fields"], len(table["rows"]), table["title"], table["aim"])
        yield f"attributes-{what}", _picture(_with(spec, {"cells": cells}), report)
    for method in sorted({run["method"] for run in data["runs"]}):
        runs = [run for run in data["runs"] if run["method"] == method]
        panels = []
        for scalar in dict.fromkeys(name for run in runs for name in run["curves"]):
            points = [
                {"run": run["run"], "budget": run["budget"], "step": step, "value": value}
                for run in runs
                for step, value in run["curves"].get(scalar, ())
            ]
            panels.append({**data["specs"]["curve"], "title": scalar, "data": {"values": points}})
        if panels:
            yield f"training-{method}", _picture(_grid(panels), report, method)


def draw(spec: Spec, form: str) -> bytes:
    """A picture as a file's content.

    Args:
        spec: As `figures` gives it.
        form: One of `FORMATS`.
    """
    import vl_convert

    spec = _printable(spec)
    if form == "svg":
        return vl_convert.vegalite_to_svg(spec).encode()
    made: bytes = vl_convert.vegalite_to_png(spec, ppi=_DENSITY)
    return made


def file_name(name: str) -> str:
    """A picture's name as a file may be called."""
    return re.sub(r"[^A-Za-z0-9.=+-]+", "-", name).strip("-.")[:120]


def _printable(value: Any) -> Any:
    """The same without characters that no SVG may hold: they would end the drawing library, and us with it."""
    if isinstance(value, str):
        return visible_lines(value)
    if isinstance(value, dict):
        return {_printable(name): _printable(item) for name, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list | tuple) else value


def _with(spec: Spec, rows: Mapping[str, list[Any]]) -> Spec:
    return {**spec, "datasets": {**spec.get("datasets", {}), **rows}, "width": WIDE}


def _grid(panels: list[Spec]) -> Spec:
    return {
        "concat": [{**panel, "width": NARROW, "padding": 0} for panel in panels],
        "columns": ACROSS,
        "resolve": {"scale": {"color": "shared"}},
    }


def _picture(spec: Spec, report: Report, about: str = "") -> Spec:
    """With the colours of a white page, and what must not be forgotten about the benchmark."""
    own = spec.get("title", {})
    text = ", ".join(filter(None, [report.results.benchmark, about, own.get("text")]))
    title = {"text": text, "subtitle": [*filter(None, [own.get("subtitle"), report.notice])]}
    return {**spec, "title": title, "config": {**charts.config("light"), "background": "white"}, "padding": 10}
