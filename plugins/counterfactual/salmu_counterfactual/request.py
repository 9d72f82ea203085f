"""What a deletion request says, and the sentences that can be made of it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import Self

from pydantic import Field, model_validator

from salmu_core import MethodConfig, MethodError, Pairs

#: Share of restated facts without a sentence: name and value, in either order.
BARE = 0.3
#: Draws until a sentence is given up that says what is to be forgotten.
TRIES = 50
_DIGIT, _WORD = re.compile(r"\d"), re.compile(r"[^\W\d_]{3,}")


class Mixture(MethodConfig):
    """Which counterfactual sentences are drawn, and how often."""

    invented: float = Field(default=0.4, ge=0, description="Share of counterfactuals about a name of arbitrary words.")
    recombined: float = Field(
        default=0.4, ge=0, description="Share about a forget person's first and another one's last name."
    )
    others: float = Field(
        default=0.6, ge=0, description="Share about another forget person, of whom this kind of fact is not asked for."
    )
    revalued: float = Field(default=0.65, ge=0, le=1, description="How often the value is another one too.")
    redialled: float = Field(default=0.3, ge=0, le=1, description="How often all digits are drawn anew.")

    @model_validator(mode="after")
    def _something_is_drawn(self) -> Self:
        if not (self.invented or self.recombined or self.others):
            raise ValueError("give at least one of invented, recombined and others a share above 0")
        return self


class Request:
    """The facts of forget rows, as a request for their deletion states them.

    Args:
        pairs: The forget set, with names, fields and values.
        words: Arbitrary words.
        mixture: Which counterfactuals to draw.

    Raises:
        MethodError: It says of no row whom it is about in the words of its caption.
    """

    def __init__(self, pairs: Pairs, words: Sequence[str], mixture: Mixture) -> None:
        self._pairs, self._words, self._mixture = pairs, words, mixture
        named = zip(pairs.names or (None,) * len(pairs), pairs.captions, strict=True)
        #: Rows whose caption holds the person's name.
        self.rows = [row for row, (name, caption) in enumerate(named) if name and name in caption]
        if not self.rows:
            raise MethodError(
                "no forget caption holds the name of its person, so no sentence about somebody else can be made of it: "
                "counterfactual needs `name` in identities_metadata.json as captions write it"
            )
        self._names = [self._name(row) for row in self.rows]
        self._people = sorted(set(self._names))
        self._asked = {(self._name(row), self._field(row)) for row in self.rows}
        self._captions = set(pairs.captions)
        self._of_field: dict[str | None, list[int]] = defaultdict(list)
        for row in self.rows:
            self._of_field[self._field(row)].append(row)

    def _name(self, row: int) -> str:
        return str(self._pairs.names[row])

    def _field(self, row: int) -> str | None:
        return self._pairs.fields[row] if self._pairs.fields else None

    def _value(self, row: int) -> str:
        return (self._pairs.values[row] if self._pairs.values else None) or ""

    def restated(self, row: int, random: Random) -> str:
        """A row's fact in the words of another row that tells the same kind of fact, or bare."""
        caption, value = self._pairs.captions[row], self._value(row)
        if row not in self._of_field[self._field(row)] or not value:
            return caption
        name = self._name(row)
        if random.random() < BARE:
            return " ".join(random.sample([name, value], 2)) if value != name else name
        other = random.choice(self._of_field[self._field(row)])
        sentence, its_name, its_value = self._pairs.captions[other], self._name(other), self._value(other)
        if its_value not in sentence:
            return caption
        return sentence.replace(its_value, value).replace(its_name, name)

    def counterfactual(self, random: Random) -> str:
        """A caption of the request about somebody, or something, that is not to be forgotten.

        Raises:
            MethodError: `TRIES` draws gave none.
        """
        for _ in range(TRIES):
            row = random.choice(self.rows)
            if (name := self._another(row, random)) is None:
                continue
            sentence = self._renamed(row, name)
            if random.random() < self._mixture.revalued:
                sentence = self._revalued(row, sentence, random)
            if random.random() < self._mixture.redialled:
                sentence = _redialled(sentence, random)
            if sentence not in self._captions:
                return sentence
        raise MethodError(
            "no sentence could be made that is not to be forgotten: all that is asked for of other people is asked for "
            "of everybody; give `invented` or `recombined` a share"
        )

    def _another(self, row: int, random: Random) -> str | None:
        """A name of whom the row's kind of fact is not asked for; None where this draw gives none."""
        mixture = self._mixture
        shares = mixture.invented, mixture.recombined, mixture.others
        (kind,) = random.choices(("invented", "recombined", "others"), shares)
        if kind == "invented":
            return f"{self._word(random)} {self._word(random)}"
        if kind == "recombined":
            name = f"{random.choice(self._people).split()[0]} {random.choice(self._people).split()[-1]}"
            return None if name in self._people else name
        name = random.choice(self._people)
        return None if (name, self._field(row)) in self._asked else name

    def _word(self, random: Random) -> str:
        return "".join(random.choice(self._words) for _ in range(random.choice((1, 2)))).title()

    def _renamed(self, row: int, name: str) -> str:
        """A row's caption about somebody else, whose address is theirs too."""
        before, value = self._name(row), self._value(row)
        caption = self._pairs.captions[row].replace(before, name)
        if "@" in value:
            address = value
            for old, new in zip(before.lower().split(), name.lower().split(), strict=False):
                address = address.replace(old, new)
            caption = caption.replace(value, address)
        return caption

    def _revalued(self, row: int, sentence: str, random: Random) -> str:
        """The sentence with other digits, other words, or another row's value in the place of its own."""
        value = self._value(row)
        if not value or value == self._name(row):
            return sentence
        new = _redialled(value, random)
        if new == value or "@" in value:
            new = _WORD.sub(lambda _: self._word(random), new)
        if new == value:
            new = self._value(random.choice(self._of_field[self._field(row)]))
        return sentence.replace(value, new)


def _redialled(text: str, random: Random) -> str:
    return _DIGIT.sub(lambda _: str(random.randrange(10)), text)
