"""What a report's pictures are drawn from, as JSON: specifications, and rows."""

from __future__ import annotations

from typing import Any

from salmu_core.judge.targets import leading
from salmu_report import charts, series
from salmu_report.attributes import cells, in_order
from salmu_report.histograms import Counts, Panel, mean_shares, panel
from salmu_report.report import Report
from salmu_report.summaries import place

_ATTRIBUTES = (
    (
        "leak",
        "What still leaks",
        "Left of the leak: (MRR - Clean) / (Compromised - Clean), of forget pairs that tell it; 0% is as in Clean.",
    ),
    (
        "kept",
        "What is erased by mistake",
        "Kept of the holdouts: (cosine - Clean) / (Compromised - Clean); 100% is all, below 0% worse than never seen. "
        "The darker, the more is gone.",
    ),
)
#: Split -> what should become of it.
SPLITS = {
    "forget": "must go",
    "holdout_association": "must stay",
    "holdout_identity": "must stay",
    "retain_joint": "must stay",
    "fragile_set": "must stay",
}


def drawings(report: Report) -> dict[str, Any]:
    """All of it, but for the attributes, which stand in a table."""
    lines = {view.seed: series.lines(view.comparison) for view in report.views}
    return {
        "configs": {shade: charts.config(shade) for shade in ("light", "dark")},
        "specs": _specs(report, [line for of_view in lines.values() for line in of_view]),
        "views": lines,
        "references": series.references(report.comparison),
        "histograms": histograms(report),
        "attacks": series.attacked(report.comparison),
        "runs": series.runs(report.results),
    }


def _specs(report: Report, lines: list[series.Drawn]) -> dict[str, charts.Spec]:
    """Name of a picture -> how it is drawn; of trade-offs, those there is something for."""
    corner, bar = series.references(report.comparison), series.leak_bar(report.comparison)
    methods = series.methods(report.results.rows)
    budgets = len({line.budget for line in report.comparison.lines})
    leak, knowledge = (leading(report.figures, role) for role in ("leak", "knowledge"))
    titles = {"knowledge": f"{knowledge}: general knowledge", "kept": "Holdouts kept: 100% all, 0% as never seen"}
    specs = {
        y: charts.tradeoff(methods, leak, y, title, marks, budgets)
        for y, title in titles.items()
        if (marks := series.ends(lines, corner, y, bar))
    }
    specs |= {"recovered": charts.recovered(), "stages": charts.stages(leak)}
    return {**specs, "cost": charts.cost(methods, series.seconds(report.results)), "curve": charts.curve("", budgets)}


def people(report: Report) -> dict[str, Any]:
    """World -> the people of the leak explorer, and what each model finds for them."""
    summaries = report.summaries
    return {
        world: {
            **album.as_json(summaries.galleries.get(world, {})),
            "clean": place(world, "clean"),
            "compromised": place(world, "compromised"),
        }
        for world, album in summaries.albums.items()
    }


def histograms(report: Report, legend: bool = False) -> dict[str, Any]:
    """Every line's histograms on common bins, split by split; with a legend in each, or without."""
    drawn = []
    for split in SPLITS:
        if made := _panel(report, split):
            end = made.start + made.width * len(next(iter(made.shares.values())))
            spec = charts.histogram(f"{split}: {SPLITS[split]}", made.start, round(end, 6), legend)
            drawn.append(
                {"split": split, "start": made.start, "width": made.width, "shares": made.shares, "spec": spec}
            )
    return {"panels": drawn, "lines": [f"{line.label}, b {line.budget:g}" for line in report.comparison.lines]}


def _panel(report: Report, split: str) -> Panel | None:
    """Reference models, and every line by its number; one that is not in every world has references of its own."""
    counts, worlds = report.summaries.histograms.get(split, {}), report.results.worlds

    def references(of: list[str]) -> dict[str, list[Counts]]:
        places = {role: [place(world, role) for world in of] for role in ("compromised", "clean")}
        return {role: [counts[p] for p in those if p in counts] for role, those in places.items()}

    models: dict[str, list[Any]] = {**references(worlds)}
    for number, line in enumerate(report.comparison.lines):
        runs: dict[str, list[Counts]] = {}
        for row in line.rows:
            if (key := str(row.folder)) in counts:
                runs.setdefault(row.world, []).append(counts[key])
        models[str(number)] = [mean_shares(of_world) for of_world in runs.values()]
        if 0 < len(runs) < len(worlds):
            models |= {f"{number}:{role}": of_role for role, of_role in references(list(runs)).items()}
    return panel(split, models)


def attributes(report: Report) -> dict[str, Any]:
    """Line by line what is left of the leak, and kept of the holdouts, of each attribute."""
    known = report.summaries.attributes
    references = {
        role: {world: known[p] for world in report.results.worlds if (p := place(world, role)) in known}
        for role in ("clean", "compromised")
    }
    tables: dict[str, Any] = {}
    for what, title, aim in _ATTRIBUTES:
        rows = []
        for line in report.comparison.lines:
            runs: dict[str, dict[int, Any]] = {}
            for row in line.rows:
                if str(row.folder) in known:
                    runs.setdefault(row.world, {})[row.seed] = known[str(row.folder)]
            rows.append((line, cells(runs, references["clean"], references["compromised"], what)))
        fields = in_order(field for _, row in rows for field in row)
        if fields:
            tables[what] = {"title": title, "aim": aim, "fields": fields, "rows": rows}
    return tables
