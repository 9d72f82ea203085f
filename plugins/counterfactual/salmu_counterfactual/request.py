"""What a deletion request says, and the sentences that can be made of it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Self

from pydantic import Field, model_validator

from salmu_core import MethodConfig, MethodError, Pairs

#: Share of restated facts without a sentence: name and value, in either order.
BARE = 0.3
#: Sentences that are tried for a fact until it is said bare, and draws until a counterfactual is given up.
SENTENCES, DRAWS = 8, 50
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

    Attributes:
        named: Numbers of the rows whose caption holds the person's name.
        telling: Those of them whose caption holds the value too.

    Raises:
        MethodError: No caption holds its person's name.
    """

    def __init__(self, pairs: Pairs, words: Sequence[str], mixture: Mixture) -> None:
        self._pairs, self._words, self._mixture = pairs, words, mixture
        names, values = pairs.names or (None,) * len(pairs), pairs.values or (None,) * len(pairs)
        self._names, self._values = [name or "" for name in names], [value or "" for value in values]
        rows = range(len(pairs))
        self.named = [row for row in rows if self._names[row].strip() and self._finds(row, self._names[row])]
        if not self.named:
            raise MethodError(
                "no forget caption holds the name of its person, so no sentence about somebody else can be made of it: "
                "counterfactual needs `name` in identities_metadata.json as captions write it"
            )
        self.telling = [row for row in self.named if self._values[row] and self._finds(row, self._values[row])]
        self._tells = frozenset(self.telling)
        self._captions = set(pairs.captions)
        self._people = sorted({self._names[row] for row in self.named})
        self._whole_names = [name.split() for name in self._people if " " in name.strip()]
        self._of_field: dict[str | None, list[int]] = defaultdict(list)
        for row in self.telling:
            self._of_field[self._field(row)].append(row)
        asked: dict[str | None, set[str]] = defaultdict(set)
        for row in self.named:
            asked[self._field(row)].add(self._names[row])
        self._free = {field: [name for name in self._people if name not in names] for field, names in asked.items()}
        self._open = [row for row in self.named if self._free[self._field(row)]]

    def _finds(self, row: int, text: str) -> bool:
        return bool(_whole(text).search(self._pairs.captions[row]))

    def _field(self, row: int) -> str | None:
        return self._pairs.fields[row] if self._pairs.fields else None

    def _reworded(self, row: int, name: str, value: str) -> str:
        """A row's sentence with another name and another value."""
        swaps = {self._values[row]: value, self._names[row]: name}
        swaps.pop("", None)
        return _whole(*swaps).sub(lambda match: swaps[match[0]], self._pairs.captions[row])

    def restated(self, row: int, random: Random) -> str:
        """The fact of a row that tells one, in words that no forget caption has, or bare; empty if bare it is one."""
        name, value = self._names[row], self._values[row]
        if random.random() >= BARE:
            for _ in range(SENTENCES):
                sentence = self._reworded(random.choice(self._of_field[self._field(row)]), name, value)
                if sentence not in self._captions:
                    return sentence
        bare = " ".join(random.sample([name, value], 2)) if value != name else name
        return "" if bare in self._captions else bare

    def counterfactual(self, random: Random) -> str:
        """A caption of the request about somebody, or something, that is not to be forgotten.

        Raises:
            MethodError: `DRAWS` draws gave none.
        """
        mixture = self._mixture
        kinds = {"invented": mixture.invented, "recombined": mixture.recombined, "others": mixture.others}
        for _ in range(DRAWS):
            (kind,) = random.choices(list(kinds), list(kinds.values()))
            rows = self._open if kind == "others" else self.named
            if not rows:
                continue
            row = random.choice(rows)
            if not (name := self._another(kind, row, random)):
                continue
            value = self._its_value(row, name, random)
            sentence = self._reworded(row, name, value)
            if random.random() < mixture.redialled:
                sentence = _redialled(sentence, random)
            if sentence not in self._captions:
                return sentence
        raise MethodError(
            "no sentence could be made that is not to be forgotten: what is asked for of one person is asked for of "
            "all; give `invented` or `recombined` a share"
        )

    def _another(self, kind: str, row: int, random: Random) -> str:
        """A name of whom the row's kind of fact is not asked for; empty where this draw gives none."""
        if kind == "others":
            return random.choice(self._free[self._field(row)])
        if kind == "invented":
            name = f"{self._word(random)} {self._word(random)}"
        else:
            if len(self._whole_names) < 2:
                return ""
            one, other = random.sample(self._whole_names, 2)
            name = f"{one[0]} {other[-1]}"
        return "" if any(person in name or name in person for person in self._people) else name

    def _word(self, random: Random) -> str:
        return "".join(random.choice(self._words) for _ in range(random.choice((1, 2)))).title()

    def _its_value(self, row: int, name: str, random: Random) -> str:
        """A value for somebody else: the row's own, but for an address, which is theirs; or another one of its form."""
        value = self._values[row]
        if value == self._names[row]:
            return name
        if row not in self._tells:
            return value
        if "@" in value:
            value = _readdressed(value, self._names[row], name)
        if random.random() >= self._mixture.revalued:
            return value
        new = _redialled(value, random)
        if new == value or "@" in value:
            new = _WORD.sub(lambda _: self._word(random), new)
        return new if new != value else self._values[random.choice(self._of_field[self._field(row)])]


@lru_cache(2**16)
def _whole(*texts: str) -> re.Pattern[str]:
    """Any of some texts, as words of their own; where several begin, the longest."""
    longest_first = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(rf"(?<!\w){re.escape(text)}(?!\w)" for text in longest_first))


def _readdressed(address: str, old: str, new: str) -> str:
    """An address whose user is called otherwise."""
    before, after = old.lower().split(), new.lower().split()
    swaps = {before[-1]: after[-1], **dict(zip(before, after, strict=False))}
    user, at, domain = address.partition("@")
    parts = re.compile("|".join(re.escape(part) for part in sorted(swaps, key=len, reverse=True)))
    return parts.sub(lambda match: swaps[match[0]], user) + at + domain


def _redialled(text: str, random: Random) -> str:
    return _DIGIT.sub(lambda _: str(random.randrange(10)), text)
