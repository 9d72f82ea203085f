"""What leaks most and what is erased by mistake, attribute by attribute. Needs no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from salmu_core.contract.layout import DATA_FIELDS, FORGET, HOLDOUT_ASSOCIATION, HOLDOUT_IDENTITY
from salmu_core.judge.repeats import Repeats
from salmu_core.judge.single import RowValues
from salmu_core.judge.statistics import Clusters, Interval
from salmu_report.associations import Associations

#: World -> seed -> attribute -> rows.
Runs = Mapping[str, Mapping[int, "Attributes"]]


@dataclass(frozen=True)
class Attributes:
    """One model's figures by attribute.

    Attributes:
        leak: Attribute -> reciprocal rank of each forget row, by person.
        kept: Attribute -> cosine of each holdout row, by person.
    """

    leak: Mapping[str, Clusters]
    kept: Mapping[str, Clusters]


@dataclass(frozen=True)
class Cell:
    """One attribute of one line.

    Attributes:
        before: In Compromised.
        after: In the unlearned model.
        clean: In Clean.
        share: What is left of the leak, or kept of the holdouts: (after - Clean) / (Compromised - Clean). None where
            Compromised is not shown to know more than Clean.
        worlds: In how many worlds it was measured.
        kept: Whether it should have been kept.
    """

    before: float
    after: float
    clean: float
    share: Interval | None
    worlds: int
    kept: bool = False

    @property
    def bad(self) -> float:
        """How bad the share is, 0 to 1: all of a leak is left, or half as much again is lost as there was to lose."""
        if self.share is None:
            return 0.0
        lost = (1 - self.share.value) / 1.5 if self.kept else self.share.value
        return min(max(lost, 0.0), 1.0)


def by_attribute(associations: Associations, fields: Mapping[str, str]) -> Attributes:
    """Split a model's rows by the attribute each tells.

    Args:
        associations: Its rows.
        fields: File name -> attribute.
    """
    search = associations.search(FORGET)
    ranks = [search.ranks] if search else []
    holdouts = [
        associations.cosines[name] for name in (HOLDOUT_ASSOCIATION, HOLDOUT_IDENTITY) if name in associations.cosines
    ]
    return Attributes(_split(ranks, fields, reciprocal=True), _split(holdouts, fields))


def _split(sets: Sequence[RowValues], fields: Mapping[str, str], reciprocal: bool = False) -> dict[str, Clusters]:
    values: dict[str, list[float]] = defaultdict(list)
    people: dict[str, list[str | None]] = defaultdict(list)
    for rows in sets:
        for name, person, value in zip(rows.file_names, rows.people, rows.values.tolist(), strict=True):
            field = fields.get(name, "")
            values[field].append(1 / value if reciprocal else value)
            people[field].append(person)
    return {field: Clusters.of(values[field], people[field]) for field in in_order(values)}


def in_order(fields: Iterable[str]) -> list[str]:
    """Attributes in the paper's order, others behind them; those without a name are left out."""
    known = {field: place for place, field in enumerate(DATA_FIELDS)}
    return sorted(filter(None, set(fields)), key=lambda field: (known.get(field, len(known)), field))


def cells(
    runs: Runs, clean: Mapping[str, Attributes], compromised: Mapping[str, Attributes], what: str
) -> dict[str, Cell]:
    """One line's attributes over its worlds and seeds.

    Args:
        runs: Its models.
        clean: World -> Clean's figures.
        compromised: World -> Compromised's.
        what: ``leak`` or ``kept``.
    """
    worlds = [world for world in runs if world in clean and world in compromised]
    shares = {}
    for field in in_order(field for world in worlds for field in getattr(compromised[world], what)):

        def measured(world: str, field: str = field) -> bool:
            models = (clean[world], compromised[world], *runs[world].values())
            return all(field in getattr(model, what) for model in models)

        if having := {world: runs[world] for world in worlds if measured(world)}:
            with suppress(ValueError):  # of other rows than its reference
                shares[field] = _cell(field, having, clean, compromised, what)
    return shares


def _cell(
    field: str, runs: Runs, clean: Mapping[str, Attributes], compromised: Mapping[str, Attributes], what: str
) -> Cell:
    low, high = ({world: getattr(of[world], what)[field] for world in runs} for of in (clean, compromised))
    own = {world: {seed: getattr(run, what)[field] for seed, run in seeds.items()} for world, seeds in runs.items()}
    known = Repeats({world: {0: high[world] - low[world]} for world in runs}).interval().low > 0
    share = None
    if known:
        left = {
            world: {seed: (run - low[world]).per(high[world] - low[world]) for seed, run in seeds.items()}
            for world, seeds in own.items()
        }
        share = Repeats.of(left).interval()
    before, bottom = (float(np.mean([rows.mean for rows in of.values()])) for of in (high, low))
    return Cell(before, Repeats.of(own).value, bottom, share, len(runs), kept=what == "kept")
