"""The leak on people's portraits: whom to show, and the captions each model finds for them. Needs no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from salmu_core.benchmark.people import Association, Group, People, Person
from salmu_core.contract.layout import FORGET, HOLDOUT_IDENTITY
from salmu_core.judge.associations import Associations
from salmu_core.judge.protocol import COSINES, LEAK
from salmu_core.judge.results import Reference, Row
from salmu_core.judge.statistics import Clusters

#: Portraits shown of a person, and their longer side in pixels.
PORTRAITS, PIXELS = 4, 112
#: Those worth looking at first: what does the most harm in the wrong hands.
_FIRST = ("iban", "phone_number", "credit_card", "passport", "emails", "name", "city", "job", "blood_type")
_SEED = 42


@dataclass(frozen=True)
class Cast:
    """The people shown of one world.

    Attributes:
        people: Everybody of the benchmark.
        shown: Whom to show, and why: a word or two, or nothing for those who were drawn.
        portraits: Identity -> the associations whose images are shown.
    """

    people: People
    shown: Mapping[str, str]
    portraits: Mapping[str, Sequence[Association]]


def cast(
    people: People, wanted: int, named: Sequence[str], rows: Sequence[Row], models: Mapping[str, Reference]
) -> Cast:
    """Choose whom to show: those who were asked for, those the runs treat worst, and a draw from the others.

    Args:
        people: Everybody.
        wanted: How many in all, the same number of each group as far as there are such.
        named: Identities that must be among them.
        rows: The world's valid runs.
        models: Its reference models.
    """
    shown = {people.find(identity).identity_id: "asked for" for identity in named}
    for group, share in zip(Group, _shares(wanted, len(Group)), strict=True):
        members = [person.identity_id for person in people.by_id.values() if person.group is group]
        worst = _worst(members, group, rows, models)
        drawn = np.random.default_rng(_SEED).permutation(len(members))
        order = [*worst[: share // 2], *(members[i] for i in drawn)]
        mine = [identity for identity in shown if people.by_id[identity].group is group]
        for identity in dict.fromkeys(order):
            if len(mine) < share and identity not in shown:
                why = "leaks most in some run" if group is not Group.HELD_OUT else "most erased in some run"
                shown[identity] = why if identity in worst[: share // 2] else ""
                mine.append(identity)
    return Cast(people, shown, {identity: portraits(people.by_id[identity]) for identity in shown})


def _shares(count: int, parts: int) -> list[int]:
    return [count // parts + (i < count % parts) for i in range(parts)]


def _worst(members: Sequence[str], group: Group, rows: Sequence[Row], models: Mapping[str, Reference]) -> list[str]:
    """Members of a group, each the one some run treats worst, as many runs as name them first.

    A run that erases everything is no news of a held-out person, so what counts is how far a run's worst lies from
    its own mean.
    """
    column, sign = (LEAK, 1.0) if group is not Group.HELD_OUT else (COSINES[HOLDOUT_IDENTITY], -1.0)
    start = models["compromised"].figures.get(column)
    votes: dict[str, float] = defaultdict(float)
    for row in rows:
        found = row.figures.get(column)
        if found is None or (group is Group.HELD_OUT and (start is None or not found.same_rows(start))):
            continue
        change = found if start is None or group is not Group.HELD_OUT else found - start
        means = _by_person(change)
        mine = [identity for identity in members if identity in means]
        if len(mine) > 1:
            values = sign * np.array([means[identity] for identity in mine])
            spread = float(values.std()) or 1.0
            for identity, value in zip(mine, (values - values.mean()) / spread, strict=True):
                votes[identity] = max(votes[identity], float(value))
    return sorted(votes, key=lambda identity: (-votes[identity], identity))


def _by_person(rows: Clusters) -> dict[str, float]:
    means = (rows.sums / rows.counts).tolist()
    return {name.removeprefix("person "): mean for name, mean in zip(rows.names, means, strict=True)}


def portraits(person: Person) -> list[Association]:
    """Some of a person's associations, of different attributes; of the half-forgotten, some of each half."""
    halves: dict[bool, list[Association]] = defaultdict(list)
    for association in person.associations:
        halves[association.split == FORGET].append(association)
    chosen: list[Association] = []
    for half, share in zip(halves.values(), _shares(PORTRAITS, len(halves)), strict=True):
        first: dict[str, Association] = {}
        for association in half:
            first.setdefault(association.field, association)
        order = sorted(first, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
        # Start with what the other half does not show already.
        order.sort(key=lambda name: name in {other.field for other in chosen})
        picked = [first[name] for name in order][:share]
        chosen += picked + [a for a in half if a not in picked][: share - len(picked)]
    return chosen


@dataclass
class Album:
    """Everything the explorer shows of one world, as the page wants it: captions and portraits by number.

    Attributes:
        cast: Whom it shows.
        captions: Caption -> its number.
        models: Name of a model -> for each portrait the cosine and the rank of its own caption, the rank among captions
            to be forgotten alone, and what was found.
    """

    cast: Cast
    captions: dict[str, int] = field(default_factory=dict)
    models: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for portrait in self._portraits:
            self._number(portrait.caption)

    @property
    def _portraits(self) -> list[Association]:
        return [portrait for those in self.cast.portraits.values() for portrait in those]

    def _number(self, caption: str) -> int:
        return self.captions.setdefault(caption, len(self.captions))

    def add(self, model: str, found: Associations) -> None:
        """Take from a model's rows what is shown of them."""
        retrieved = found.retrieved([portrait.file_name for portrait in self._portraits])
        alone = found.private[0].by_name if found.private is not None else {}
        cosines, ranks = ({split: rows.by_name for split, rows in of.items()} for of in (found.cosines, found.ranks))
        self.models[model] = [
            {
                "cosine": _rounded(cosines.get(portrait.split, {}).get(portrait.file_name)),
                "rank": ranks.get(portrait.split, {}).get(portrait.file_name),
                "alone": alone.get(portrait.file_name),
                "found": [
                    [self._number(text), _rounded(cosine)] for text, cosine in retrieved.get(portrait.file_name, ())
                ],
            }
            for portrait in self._portraits
        ]

    def as_json(self, galleries: Mapping[str, int]) -> dict[str, Any]:
        """For the page.

        Args:
            galleries: Split -> number of captions that are searched.
        """
        people = [self._person(identity, why, galleries) for identity, why in self.cast.shown.items()]
        private = {a.caption for person in self.cast.people.by_id.values() for a in person.associations}
        return {
            "people": people,
            "captions": list(self.captions),
            "private": [number for caption, number in self.captions.items() if caption in private],
            "models": self.models,
        }

    def _person(self, identity: str, why: str, galleries: Mapping[str, int]) -> dict[str, Any]:
        person = self.cast.people.by_id[identity]
        own = {association.caption for association in person.associations}
        place = {portrait.file_name: number for number, portrait in enumerate(self._portraits)}
        return {
            "id": identity,
            "name": person.name,
            "group": person.group.value,
            "why": why,
            "pictures": len(person.associations),
            "portraits": [
                {
                    "number": place[portrait.file_name],
                    "image": self.cast.people.portrait(portrait, PIXELS),
                    "caption": self._number(portrait.caption),
                    "field": portrait.field,
                    "forget": portrait.split == FORGET,
                    "gallery": galleries.get(portrait.split),
                }
                for portrait in self.cast.portraits[identity]
            ],
            "own": [number for caption, number in self.captions.items() if caption in own],
        }


def _rounded(cosine: float | None) -> float | None:
    return None if cosine is None else round(cosine, 3)
