"""One part of a person's associations, those of one split, in the three models. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from salmu_report.people import Association, Group

from salmu_certificate.evidence import Dossier
from salmu_certificate.judge import (
    ThreeClusters,
    beside_clean,
    better_than_guessing,
    forgotten,
    guessing,
    kept,
    never_seen,
)
from salmu_certificate.records import Ends, Judgement, Level, Pair, Part, Stand, Summary, Three, Trial
from salmu_certificate.summaries import summary
from salmu_certificate.trials import by_attribute, part_of, unlike
from salmu_certificate.wording import COSINE, RANK, said_forgotten, said_kept, why_forgotten, why_kept
from salmu_core.contract.layout import DATA_FIELDS, FORGET, HOLDOUT_ASSOCIATION, HOLDOUT_IDENTITY
from salmu_core.judge.diagnosis import Verdict
from salmu_core.judge.single import RowValues
from salmu_core.judge.statistics import Floats

ORDER = (FORGET, HOLDOUT_ASSOCIATION, HOLDOUT_IDENTITY)


class PersonSearch(NamedTuple):
    """Where a person's captions come by one metric that looks for them.

    Attributes:
        ranks: Of each caption before, after and in Clean ``[3, n]``.
        gallery: Captions among which the ranks are.
        like: Ranks among captions of their kind alone ``[3, n]``, and how many those are; None where not measured.
    """

    ranks: Floats
    gallery: int
    like: tuple[Floats, int] | None


@dataclass(frozen=True)
class PersonSplit:
    """A person's associations of one split.

    Attributes:
        evidence: What there is.
        name: The split.
        associations: By attribute, in the paper's order ``[n]``.
    """

    evidence: Dossier
    name: str
    associations: tuple[Association, ...]

    @property
    def part(self) -> Part:
        """What was to become of them."""
        return part_of(self.name)

    @cached_property
    def searches(self) -> list[PersonSearch]:
        """By each metric that looked for them in all three models, the leading one first."""
        models = [
            {search.metric: search for search in model.associations.searches.get(self.name, ())}
            for model in self.evidence.models
        ]
        found = []
        for metric, after in models[1].items():
            of_metric = [model.get(metric) for model in models]
            ranks = self._values([search and search.ranks for search in of_metric])
            if ranks is not None:
                like = self._values([search and search.like and search.like[0] for search in of_metric])
                found.append(
                    PersonSearch(
                        ranks, after.gallery, (like, after.like[1]) if like is not None and after.like else None
                    )
                )
        return found

    @property
    def ranks(self) -> Floats | None:
        """By the leading one; None where they were not measured."""
        return self.searches[0].ranks if self.searches else None

    @cached_property
    def cosines(self) -> Floats | None:
        """Of each image with its caption, likewise ``[3, n]``."""
        return self._values([model.associations.cosines.get(self.name) for model in self.evidence.models])

    def rows(self, values: Floats) -> ThreeClusters:
        """Values ``[3, n]`` by attribute."""
        names = [association.file_name for association in self.associations]
        models = [dict(zip(names, model, strict=True)) for model in values.tolist()]
        return ThreeClusters(*(by_attribute(self.evidence, self.name, model) for model in models))

    @cached_property
    def hits(self) -> np.ndarray:
        """Which captions are shown to be found, before and after ``[2, n]``, those left out that are so in Clean."""
        if not self.searches:
            return np.zeros((2, len(self.associations)), dtype=bool)
        searches = [(search.ranks, search.gallery) for search in self.searches]
        searches += [search.like for search in self.searches if search.like]
        before, after, clean = (
            better_than_guessing(*((ranks[i], gallery) for ranks, gallery in searches)) for i in range(3)
        )
        return np.stack([before & ~clean, after & ~clean])

    @cached_property
    def others(self) -> np.ndarray | None:
        """Whether another caption of the person is among the first ones: before, after, in Clean ``[3, n]``."""
        names = {association.file_name for association in self.associations}
        if not all(names <= model.retrieved.keys() for model in self.evidence.models):
            return None
        own = {association.caption for association in self.evidence.person.associations}
        return np.array(
            [
                [
                    any(first.caption in own - {a.caption} for first in model.retrieved.get(a.file_name, ()))
                    for a in self.associations
                ]
                for model in self.evidence.models
            ]
        )

    def pairs(self) -> list[Pair]:
        """The associations, one by one."""
        clean = self.evidence.clean.associations
        search, cosines = clean.search(self.name), clean.cosines.get(self.name)
        near = None if search is None else never_seen(1 / search.ranks.values)  # so that more is better found
        close = None if cosines is None else never_seen(cosines.values)
        reciprocal = None if self.ranks is None else 1 / self.ranks
        private = self.searches[0].like[0] if self.searches and self.searches[0].like else None
        return [
            Pair(
                split=self.name,
                field=association.field,
                caption=association.caption,
                file_name=association.file_name,
                rank=_three(self.ranks, i),
                rank_private=_three(private, i),
                cosine=_three(self.cosines, i),
                rank_is=_stand(reciprocal, i, near),
                cosine_is=_stand(self.cosines, i, close),
                found=bool(self.hits[1, i]),
                found_before=bool(self.hits[0, i]),
                others_first=None if self.others is None else tuple(map(bool, self.others[:, i])),
            )
            for i, association in enumerate(self.associations)
        ]

    def summaries(self) -> list[Summary]:
        """Means with intervals, of reciprocal ranks and of cosines."""
        means = [self._searched(search) for search in self.searches[:1]]
        if self.cosines is not None:
            means.append(summary(self.part, COSINE, self.rows(self.cosines), (-1.0, 1.0)))
        return means

    def _searched(self, search: PersonSearch) -> Summary:
        ends, chance = (1 / search.gallery, 1.0), guessing(search.gallery)
        return summary(self.part, RANK, self.rows(1 / search.ranks), ends, search.gallery, chance)

    def judgement(self, trials: Sequence[Trial]) -> Judgement:
        """The verdict on them.

        Args:
            trials: What the metrics say.
        """
        return self._forgotten(trials) if self.name == FORGET else self._kept()

    def _forgotten(self, trials: Sequence[Trial]) -> Judgement:
        assert self.searches  # `gather` has seen to it
        efficacy = [trial for trial in trials if trial.part == "forget" and trial.target == "clean"]
        before, after = self.hits.sum(axis=1).tolist()
        others = None if self.others is None else self.rows(self.others.astype(float))
        ranked = {column.name for column in self.evidence.run.columns if column.ranked}
        names = [trial for trial in efficacy if trial.role == "naming"]
        leaking = [trial for trial in efficacy if trial.role == "leak" and trial.column not in ranked]
        named = [_more(trial) for trial in names]
        unasked = [
            rule
            for rule, lacks in {
                "captions to be forgotten alone": not any(search.like for search in self.searches),
                "which captions come first": others is None,
                "the name": not names and self.evidence.person.group is Group.FORGOTTEN,
            }.items()
            if lacks
        ]
        verdict = forgotten(
            [(self.rows(1 / search.ranks), search.gallery) for search in self.searches],
            after,
            before,
            others,
            [*named, *map(_more, leaking)],
            unlike(efficacy),
            unasked,
        )
        by_rank, pairs = self._searched(self.searches[verdict.decisive]), self.pairs()
        levels = verdict.allowed.levels.items()
        return Judgement(
            part="forget",
            word=verdict.word,
            said=said_forgotten(verdict, by_rank, pairs),
            reasons=why_forgotten(verdict, by_rank, pairs, efficacy, leaking, unasked),
            known=verdict.known,
            allowed={name: Level(value=level.value, excess=Ends.of(level.excess)) for name, level in levels},
            found=tuple(a.file_name for a, hit in zip(self.associations, self.hits[1], strict=True) if hit),
            named=Verdict.HOLDS in named if names else None,
            leaking=tuple(trial.column for trial in leaking if _more(trial) is Verdict.HOLDS),
            unasked=tuple(unasked),
            unlike_clean=tuple(unlike(efficacy)),
        )

    def _kept(self) -> Judgement:
        measures = {} if self.cosines is None else {COSINE: self.rows(self.cosines)}
        if self.ranks is not None:
            measures[RANK] = self.rows(1 / self.ranks)
        verdict = kept(measures, self.searches[0].gallery if self.searches else None, RANK)
        return Judgement(
            part="keep",
            word=verdict.word,
            said=said_kept(verdict),
            reasons=why_kept(verdict, self.ranks is not None),
            known=bool(verdict.retention),
            retention={name: Ends.of(share) for name, share in verdict.retention.items()},
        )

    def _values(self, models: Sequence[RowValues | None]) -> Floats | None:
        rows = [model.by_name for model in models if model is not None]
        if len(rows) < len(models):
            return None
        return np.array([[values[association.file_name] for association in self.associations] for values in rows])


def _more(trial: Trial) -> Verdict:
    """Whether a metric tells more of somebody than of people a model never saw: their name, or what leaks of them."""
    if trial.stand is Stand.ABOVE:
        return Verdict.HOLDS
    values, low = trial.values, trial.difference.low
    more = values.after > values.clean if trial.never_seen is None or low is None else low > 0
    return Verdict.OPEN if more else Verdict.CLEAR


def splits(evidence: Dossier) -> list[PersonSplit]:
    """The person's associations, split by split."""
    place = {field: number for number, field in enumerate(DATA_FIELDS)}

    def order(association: Association) -> tuple[int, str]:
        return place.get(association.field, len(place)), association.field

    parts = []
    for name in ORDER:
        associations = [association for association in evidence.person.associations if association.split == name]
        if associations:
            parts.append(PersonSplit(evidence, name, tuple(sorted(associations, key=order))))
    return parts


def _three(values: Floats | None, i: int) -> Three | None:
    if values is None:
        return None
    before, after, clean = values[:, i].tolist()
    return Three(before=before, after=after, clean=clean)


def _stand(values: Floats | None, i: int, around: tuple[float, float] | None) -> Stand | None:
    return None if values is None else beside_clean(float(values[1, i]), None, around)
