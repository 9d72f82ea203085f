"""What a page is made of: the table of all seeds and of each, and what the rows say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from salmu_core.judge.compare import compare, labels
from salmu_core.judge.lines import Comparison
from salmu_core.judge.results import Results
from salmu_core.judge.targets import Column
from salmu_core.store.folders import Store
from salmu_report.summaries import Summaries


@dataclass(frozen=True)
class View:
    """The table of one seed, or of all together (``all``)."""

    seed: str
    comparison: Comparison


@dataclass(frozen=True)
class Report:
    """Everything a page and its pictures show.

    Attributes:
        store: The results folder.
        views: All seeds together first, then each by itself where there are several.
        figures: All figures with their targets.
        summaries: What the rows say.
        notice: The sentence the benchmark wants above its tables.
        command: That makes this page again.
    """

    store: Store
    views: Sequence[View]
    figures: Sequence[Column]
    summaries: Summaries
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


def views(comparison: Comparison, figures: Sequence[Column]) -> Iterator[View]:
    """The table of all seeds, and where there are several, of each."""
    yield View("all", comparison)
    results = comparison.results
    line_labels = labels(results.rows)
    seeds = sorted({row.seed for row in results.rows if row.status == "valid"})
    for seed in seeds if len(seeds) > 1 else ():
        of_seed = replace(results, rows=[row for row in results.rows if row.seed == seed])
        yield View(str(seed), compare(of_seed, figures, line_labels))
