"""One part of a person's associations, those of one split, in the three models. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

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
from salmu_certificate.trials import by_attribute, part_of, unlike
from salmu_certificate.wording import COSINE, RANK, said_forgotten, said_kept, why_forgotten, why_kept
from salmu_core.benchmark.people import Association, Group
from salmu_core.contract.layout import DATA_FIELDS, FORGET, HOLDOUT_ASSOCIATION, HOLDOUT_IDENTITY
from salmu_core.judge.associations import Associations, RowValues
from salmu_core.judge.diagnosis import Verdict
from salmu_core.judge.protocol import COSINES, NAMING
from salmu_core.judge.statistics import Clusters, Floats, interval

ORDER = (FORGET, HOLDOUT_ASSOCIATION, HOLDOUT_IDENTITY)
#: The figure that has cosines of a person's generic captions.
ORDINARY = COSINES["retain_joint"]


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
    def ranks(self) -> Floats | None:
        """Of each caption before, after and in Clean ``[3, n]``; None where they were not measured."""
        return self._values([self._ranks(model.associations) for model in self.evidence.models])

    @cached_property
    def cosines(self) -> Floats | None:
        """Of each image with its caption, likewise ``[3, n]``."""
        return self._values([model.associations.cosines.get(self.name) for model in self.evidence.models])

    @property
    def gallery(self) -> int | None:
        """Captions among which the ranks are."""
        return None if self.ranks is None else self.evidence.after.associations.galleries[self.name]

    @cached_property
    def private(self) -> Floats | None:
        """Of each caption among captions to be forgotten alone ``[3, n]``; None where that was not measured."""
        alone = [model.associations.private for model in self.evidence.models]
        return self._values([search and search[0] for search in alone]) if self.name == FORGET else None

    def rows(self, values: Floats) -> ThreeClusters:
        """Values ``[3, n]`` by attribute."""
        names = [association.file_name for association in self.associations]
        models = [dict(zip(names, model, strict=True)) for model in values.tolist()]
        return ThreeClusters(*(by_attribute(self.evidence, self.name, model) for model in models))

    @cached_property
    def hits(self) -> np.ndarray:
        """Which captions are shown to be found, before and after ``[2, n]``, those left out that are so in Clean."""
        if self.ranks is None or self.gallery is None:
            return np.zeros((2, len(self.associations)), dtype=bool)
        searches = [(self.ranks, self.gallery)]
        if self.private is not None and (alone := self.evidence.after.associations.private) is not None:
            searches.append((self.private, alone[1]))
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
        ranks, cosines = self._ranks(clean), clean.cosines.get(self.name)
        near = None if ranks is None else never_seen(1 / ranks.values)  # so that more is better found
        close = None if cosines is None else never_seen(cosines.values)
        reciprocal = None if self.ranks is None else 1 / self.ranks
        return [
            Pair(
                split=self.name,
                field=association.field,
                caption=association.caption,
                file_name=association.file_name,
                rank=_three(self.ranks, i),
                rank_private=_three(self.private, i),
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
        means = []
        if self.ranks is not None and self.gallery is not None:
            ends, chance = (1 / self.gallery, 1.0), guessing(self.gallery)
            means.append(_summary(self.part, RANK, self.rows(1 / self.ranks), ends, self.gallery, chance))
        if self.cosines is not None:
            means.append(_summary(self.part, COSINE, self.rows(self.cosines), (-1.0, 1.0)))
        return means

    def judgement(self, trials: Sequence[Trial]) -> Judgement:
        """The verdict on them.

        Args:
            trials: What the metrics say.
        """
        return self._forgotten(trials) if self.name == FORGET else self._kept()

    def _forgotten(self, trials: Sequence[Trial]) -> Judgement:
        assert self.ranks is not None and self.gallery is not None  # `gather` has seen to it
        efficacy = [trial for trial in trials if trial.part == "forget" and trial.target == "clean"]
        before, after = self.hits.sum(axis=1).tolist()
        others = None if self.others is None else self.rows(self.others.astype(float))
        naming = next((trial for trial in efficacy if trial.column == NAMING), None)
        named = None if naming is None else _named(naming)
        unasked = [
            rule
            for rule, lacks in {
                "captions to be forgotten alone": self.private is None,
                "which captions come first": others is None,
                "the name": naming is None and self.evidence.person.group is Group.FORGOTTEN,
            }.items()
            if lacks
        ]
        verdict = forgotten(
            self.rows(1 / self.ranks), self.gallery, after, before, others, named, unlike(efficacy), unasked
        )
        summary, pairs = self.summaries()[0], self.pairs()
        levels = verdict.allowed.levels.items()
        return Judgement(
            part="forget",
            word=verdict.word,
            said=said_forgotten(verdict, summary, pairs),
            reasons=why_forgotten(verdict, summary, pairs, efficacy, unasked),
            known=verdict.known,
            allowed={name: Level(value=level.value, excess=Ends.of(level.excess)) for name, level in levels},
            found=tuple(a.file_name for a, hit in zip(self.associations, self.hits[1], strict=True) if hit),
            named=None if named is None else named is Verdict.HOLDS,
            unasked=tuple(unasked),
            unlike_clean=tuple(unlike(efficacy)),
        )

    def _kept(self) -> Judgement:
        measures = {} if self.cosines is None else {COSINE: self.rows(self.cosines)}
        if self.ranks is not None:
            measures[RANK] = self.rows(1 / self.ranks)
        verdict = kept(measures, self.gallery, RANK)
        return Judgement(
            part="keep",
            word=verdict.word,
            said=said_kept(verdict),
            reasons=why_kept(verdict, self.ranks is not None),
            known=bool(verdict.retention),
            retention={name: Ends.of(share) for name, share in verdict.retention.items()},
        )

    def _ranks(self, model: Associations) -> RowValues | None:
        return model.ranks.get(self.name) if self.name in model.galleries else None

    def _values(self, models: Sequence[RowValues | None]) -> Floats | None:
        rows = [model.by_name for model in models if model is not None]
        if len(rows) < len(models):
            return None
        return np.array([[values[association.file_name] for association in self.associations] for values in rows])


def _named(naming: Trial) -> Verdict:
    """Whether somebody is named right more often than by a model that never saw them."""
    if naming.stand is Stand.ABOVE:
        return Verdict.HOLDS
    rate, low = naming.values, naming.difference.low
    more = rate.after > rate.clean if naming.never_seen is None or low is None else low > 0
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


def ordinary(evidence: Dossier) -> list[Summary]:
    """The mean cosine of the person's pictures with captions that tell nothing private, where there are any."""
    columns = [model.rows.get(ORDINARY) for model in evidence.models]
    rows = [cosines for cosines in columns if cosines is not None]
    if len(rows) < len(columns):
        return []
    names = list(rows[0].values)
    clusters = (Clusters.of([cosines.values[name] for name in names], list(names)) for cosines in rows)
    return [_summary("ordinary", COSINE, ThreeClusters(*clusters), (-1.0, 1.0))]


def _summary(
    part: Part,
    measure: str,
    rows: ThreeClusters,
    limits: tuple[float, float],
    gallery: int | None = None,
    chance: float | None = None,
) -> Summary:
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


def _three(values: Floats | None, i: int) -> Three | None:
    if values is None:
        return None
    before, after, clean = values[:, i].tolist()
    return Three(before=before, after=after, clean=clean)


def _stand(values: Floats | None, i: int, around: tuple[float, float] | None) -> Stand | None:
    return None if values is None else beside_clean(float(values[1, i]), None, around)
