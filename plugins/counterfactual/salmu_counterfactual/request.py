"""What a deletion request says, and the sentences that can be made of it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Literal, Self
from unicodedata import combining, normalize

from pydantic import Field, model_validator

from salmu_core import MethodConfig, MethodError, Pairs

#: Share of restated facts without a sentence: name and value, in either order.
BARE = 0.3
#: Sentences that are tried for a fact until it is said bare, and draws until a counterfactual is given up.
SENTENCES, DRAWS = 8, 50
#: A name and a value.
Fact = tuple[str, str]
_DIGIT, _WORD = re.compile(r"\d"), re.compile(r"[^\W\d_]{3,}")
_LETTERS = re.compile(r"[^\W\d_]+([._-][^\W\d_]+)*")


class Mixture(MethodConfig):
    """Which counterfactual sentences are drawn, and how often."""

    invented: float = Field(default=0.4, ge=0, description="Share of counterfactuals about a name of arbitrary words.")
    namesakes: float = Field(
        default=0.1, ge=0, description="Share about a name of which a forget person has the first or the last part."
    )
    others: float = Field(
        default=0.8, ge=0, description="Share about another forget person, of whom this kind of fact is not asked for."
    )
    stranger_for: Literal["person", "fact"] = Field(
        default="fact",
        description="Whether one stranger stands for a person, or another one for each of their facts.",
    )
    revalued: float = Field(default=0.65, ge=0, le=1, description="How often the value is another one too.")
    misdialled: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="How often a restated fact has other digits: whatever they are, they are not to be told.",
    )
    redialled: float = Field(default=0.3, ge=0, le=1, description="How often all digits are drawn anew.")

    @model_validator(mode="after")
    def _something_is_drawn(self) -> Self:
        if not (self.invented or self.namesakes or self.others):
            raise ValueError("give at least one of invented, namesakes and others a share above 0")
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
        self._names, self._values = ([(text or "").strip() for text in texts] for texts in (names, values))
        rows = range(len(pairs))
        self.named = [row for row in rows if self._names[row] and self._finds(row, self._names[row])]
        if not self.named:
            raise MethodError(
                "no forget caption holds the name of its person, so no sentence about somebody else can be made of it: "
                "counterfactual needs `name` in identities_metadata.json as captions write it"
            )
        self.telling = [row for row in self.named if self._values[row] and self._finds(row, self._values[row])]
        self._tells = frozenset(self.telling)
        self._captions = {_spoken(caption) for caption in pairs.captions}
        self._people = sorted({self._names[row] for row in self.named})
        self._whole_names = [name.split() for name in self._people if " " in name]
        self._of_field: dict[str | None, list[int]] = defaultdict(list)
        for row in self.telling:
            self._of_field[self._field(row)].append(row)
        asked: dict[str | None, set[str]] = defaultdict(set)
        for row in rows:
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

    def strangers(self, random: Random) -> dict[int, Fact]:
        """For each row that names its person, who stands for them, and with which value."""
        each = {row: (self._names[row], self._field(row) or "") for row in self.named}
        seeds = {fact: random.getrandbits(32) for fact in dict.fromkeys(each.values())}
        of_person = {person: self._stranger(random) for person in self._people}
        of_fact = {fact: self._stranger(random) for fact in seeds}
        strangers = {}
        for row, fact in each.items():
            name = of_fact[fact] if self._mixture.stranger_for == "fact" else of_person[fact[0]]
            strangers[row] = name, _redialled(self._told_of(row, name), Random(seeds[fact]))
        return strangers

    def about(self, row: int, fact: Fact) -> str:
        """The caption of a row, with another name and another value."""
        return self._reworded(row, *fact)

    def in_other_words(self, row: int, random: Random, *facts: Fact) -> list[str]:
        """The fact of a row that tells one, in words that no forget caption has, or bare.

        Args:
            row: Which.
            random: Draws the words.
            facts: Other names and values.

        Returns:
            The sentence, and the same about each of the others; none if even bare it is a forget caption.
        """
        name, value = self._names[row], self._values[row]
        own = name, _redialled(value, random) if value != name and random.random() < self._mixture.misdialled else value
        if random.random() >= BARE:
            for _ in range(SENTENCES):
                words = random.choice(self._of_field[self._field(row)])
                if _spoken(self._reworded(words, *own)) not in self._captions:
                    return [self._reworded(words, *fact) for fact in (own, *facts)]
        first, last = random.sample((0, 1), 2)
        bare = [" ".join((fact[first], fact[last])) if own[0] != own[1] else fact[0] for fact in (own, *facts)]
        return [] if _spoken(bare[0]) in self._captions else bare

    def counterfactual(self, random: Random) -> str:
        """A caption of the request about somebody, or something, that is not to be forgotten.

        Raises:
            MethodError: `DRAWS` draws gave none.
        """
        mixture = self._mixture
        kinds = {"invented": mixture.invented, "namesakes": mixture.namesakes, "others": mixture.others}
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
            if _spoken(sentence) not in self._captions:
                return sentence
        raise MethodError(
            "no sentence could be made that is not to be forgotten: what is asked for of one person is asked for of "
            "all; give `invented` or `namesakes` a share"
        )

    def _stranger(self, random: Random) -> str:
        for _ in range(DRAWS):
            if name := self._another("invented", 0, random):
                return name
        raise MethodError(f"in {DRAWS} draws no name could be invented that holds none of a forget person's")

    def _another(self, kind: str, row: int, random: Random) -> str:
        """A name of whom the row's kind of fact is not asked for; empty where this draw gives none."""
        if kind == "others":
            return random.choice(self._free[self._field(row)])
        if kind == "invented":
            name = f"{self._word(random)} {self._word(random)}"
        elif not self._whole_names:
            return ""
        else:
            first, *_, last = random.choice(self._whole_names)
            name = random.choice([f"{first} {self._word(random)}", f"{self._word(random)} {last}"])
        return "" if any(person in name or name in person for person in self._people) else name

    def _word(self, random: Random) -> str:
        return random.choice(self._words)

    def _told_of(self, row: int, name: str) -> str:
        """A row's value if it is told of somebody else: a name or an address in it becomes theirs."""
        value = _whole(self._names[row]).sub(lambda _: name, self._values[row])
        return _readdressed(value, self._names[row], name) if "@" in value else value

    def _its_value(self, row: int, name: str, random: Random) -> str:
        """A value for somebody else: the row's own, but for an address, which is theirs; or another one of its form."""
        value = self._told_of(row, name)
        if value == name or row not in self._tells or random.random() >= self._mixture.revalued:
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


def _spoken(text: str) -> str:
    """A text as tokenizers read it that know no capitals and one kind of blank."""
    return " ".join(text.lower().split())


def _readdressed(address: str, old: str, new: str) -> str:
    """An address whose user is called otherwise; if by none of the old names, by the new ones alone."""
    before, after = (_plain(name).split() or [""] for name in (old, new))
    swaps = {before[-1]: after[-1], **dict(zip(before, after, strict=False))}
    swaps.pop("", None)
    user, at, domain = address.partition("@")
    parts = "|".join(re.escape(part) for part in sorted(swaps, key=len, reverse=True))
    other = re.sub(parts, lambda match: swaps[match[0]], _plain(user)) if swaps else user
    if other == _plain(user):
        other = _LETTERS.sub(".".join(after), other, count=1)
    return other + at + domain


def _plain(text: str) -> str:
    """Small letters without accents."""
    return "".join(sign for sign in normalize("NFKD", text.lower()) if not combining(sign))


def _redialled(text: str, random: Random) -> str:
    return _DIGIT.sub(lambda _: str(random.randrange(10)), text)
