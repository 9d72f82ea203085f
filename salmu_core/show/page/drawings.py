"""The report's pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from salmu_core.judge.columns import Column
from salmu_core.judge.compare import compare, labels
from salmu_core.judge.lines import Comparison
from salmu_core.judge.protocol import COSINES
from salmu_core.judge.results import Results
from salmu_core.show import charts, series
from salmu_core.show import words as text
from salmu_core.show.page.attributes import cells, in_order
from salmu_core.show.page.gathering import Gathered, place
from salmu_core.show.page.histograms import mean_shares, panel
from salmu_core.store.folders import Store

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


@dataclass(frozen=True)
class View:
    """The table of one seed, or of all together (``all``)."""

    seed: str
    comparison: Comparison


@dataclass(frozen=True)
class Report:
    """What a page is made of.

    Attributes:
        store: The results folder.
        views: All seeds together first, then each by itself where there are several.
        shown: All figures with their targets.
        gathered: What the rows say.
        notice: The sentence the benchmark wants above its tables.
        command: That makes this page again.
    """

    store: Store
    views: Sequence[View]
    shown: Sequence[Column]
    gathered: Gathered
    notice: str
    command: str

    @property
    def comparison(self) -> Comparison:
        """The table of all seeds together."""
        return self.views[0].comparison

    @property
    def results(self) -> Results:
        """All runs."""
        return self.comparison.results


def views(comparison: Comparison, shown: Sequence[Column]) -> Iterator[View]:
    """The table of all seeds, and where there are several, of each."""
    yield View("all", comparison)
    results = comparison.results
    told_apart = labels(results.rows)
    seeds = sorted({row.seed for row in results.rows if row.status == "valid"})
    for seed in seeds if len(seeds) > 1 else ():
        mine = replace(results, rows=[row for row in results.rows if row.seed == seed])
        yield View(str(seed), compare(mine, shown, told_apart))


def drawings(report: Report) -> dict[str, Any]:
    """What pictures are drawn from: specifications, and rows."""
    results, drawn = report.results, {view.seed: series.lines(view.comparison) for view in report.views}
    told_apart = labels(results.rows)
    corner, bar = series.references(report.comparison), series.leak_bar(report.comparison)
    every = [line for lines in drawn.values() for line in lines]
    methods = series.methods(results.rows)
    budgets = len({line.budget for line in report.comparison.lines})
    specs = {}
    for y, title, percent in (
        ("knowledge", "GenKnow: zero-shot accuracy", False),
        ("kept", "Holdouts kept: 100% all, 0% as never seen", True),
    ):
        if marks := series.ends(every, corner, y, bar):
            specs[y] = charts.tradeoff(methods, y, title, percent, marks, budgets)
    runs = [row for row in results.rows if row.status == "valid" and row.record]
    return {
        "configs": {shade: charts.config(shade) for shade in ("light", "dark")},
        "specs": {
            **specs,
            "cost": charts.cost(methods),
            "curve": charts.curve("", budgets),
        },
        "views": drawn,
        "references": corner,
        "histograms": histograms(report),
        "runs": [
            {
                "key": str(row.folder),
                "run": series.run_name(row, told_apart),
                "method": row.method,
                "world": row.world,
                "budget": text.exact(row.record.budget),
                "seed": row.record.seed,
                "needs": row.record.needs,
                "seconds": max(row.record.ledger.seconds, 0.01),
                "curves": series.curves(row),
            }
            for row in runs
            if row.record
        ],
    }


def _people(report: Report) -> dict[str, Any]:
    """What the leak explorer shows."""
    return {
        world: {
            **album.as_json(report.gathered.galleries.get(world, {})),
            "clean": place(world, "clean"),
            "compromised": place(world, "compromised"),
        }
        for world, album in report.gathered.albums.items()
    }


def histograms(report: Report, legend: bool = False) -> dict[str, Any]:
    """Every line's histograms on common bins, split by split; with a legend in each, or without."""
    lines, worlds = report.comparison.lines, report.results.worlds
    found = []
    for split in COSINES:
        counts = report.gathered.histograms.get(split, {})
        models: dict[str, list[Any]] = {
            role: [counts[p] for w in worlds if (p := place(w, role)) in counts] for role in ("compromised", "clean")
        }
        for number, line in enumerate(lines):
            runs: dict[str, list[Any]] = {}
            for row in line.rows:
                if (key := str(row.folder)) in counts:
                    runs.setdefault(row.world, []).append(counts[key])
            models[str(number)] = [mean_shares(each) for each in runs.values()]
            if 0 < len(runs) < len(worlds):  # beside the reference models of its own worlds
                for role in ("compromised", "clean"):
                    models[f"{number}:{role}"] = [counts[p] for w in runs if (p := place(w, role)) in counts]
        if made := panel(split, models):
            end = made.start + made.width * len(next(iter(made.shares.values())))
            title = f"{split}: {SPLITS[split]}"
            spec = charts.histogram(title, made.start, round(end, 6), legend)
            found.append(
                {"split": split, "start": made.start, "width": made.width, "shares": made.shares, "spec": spec}
            )
    return {"panels": found, "lines": [f"{line.label}, b {line.budget:g}" for line in lines]}


def attributes(report: Report) -> dict[str, Any]:
    """Line by line what is left of the leak, and kept of the holdouts, of each attribute."""
    known = report.gathered.attributes
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
