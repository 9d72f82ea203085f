"""Means over a part of a person's rows, with intervals. Needs no torch."""

from __future__ import annotations

from salmu_certificate.evidence import Dossier
from salmu_certificate.judge import ThreeClusters
from salmu_certificate.records import Ends, Part, Summary
from salmu_certificate.wording import COSINE
from salmu_core.judge.statistics import Clusters, interval
from salmu_core.judge.targets import leading


def ordinary(evidence: Dossier) -> list[Summary]:
    """The mean cosine of the person's pictures with captions that tell nothing private, where there are any."""
    name = leading(evidence.run.columns, "association", "retain_joint")
    columns = [model.rows.get(name) for model in evidence.models]
    rows = [cosines for cosines in columns if cosines is not None]
    if len(rows) < len(columns):
        return []
    names = list(rows[0].values)
    clusters = (Clusters.of([cosines.values[name] for name in names], list(names)) for cosines in rows)
    return [summary("ordinary", COSINE, ThreeClusters(*clusters), (-1.0, 1.0))]


def summary(
    part: Part,
    measure: str,
    rows: ThreeClusters,
    limits: tuple[float, float],
    gallery: int | None = None,
    chance: float | None = None,
) -> Summary:
    """A mean in three models.

    Args:
        part: What was to become of the rows.
        measure: What is measured.
        rows: Of the three models.
        limits: Where the mean can lie.
        gallery: Captions among which ranks are.
        chance: What guessing gives.
    """
    before, after, clean = (Ends.of(interval(clusters), *limits) for clusters in rows)
    return Summary(
        part=part,
        measure=measure,
        rows=int(rows.after.counts.sum()),
        unit="caption" if part == "ordinary" else "attribute",
        units=len(rows.after),
        before=before,
        after=after,
        clean=clean,
        gallery=gallery,
        guessing=chance,
    )
