"""The leak on people's portraits: the captions each model finds for them. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from salmu_core.contract.layout import FORGET
from salmu_report.associations import Associations
from salmu_report.cast import Cast
from salmu_report.people import Association

#: The longer side of a portrait, in pixels.
PIXELS = 112


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

    def add(self, model: str, associations: Associations) -> None:
        """Take from a model's rows what is shown of them."""
        retrieved = associations.retrieved([portrait.file_name for portrait in self._portraits])
        search = associations.search(FORGET)
        alone = search.like[0].by_name if search is not None and search.like is not None else {}
        cosines = {split: rows.by_name for split, rows in associations.cosines.items()}
        ranks = {split: found[0].ranks.by_name for split, found in associations.searches.items()}
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
        people = [self._person(identity, why, galleries) for identity, why in self.cast.reasons.items()]
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
