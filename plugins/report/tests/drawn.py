"""Models that are drawn instead of made: from how much one knows follow its cosines, ranks and answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

import numpy as np
from scipy.special import ndtr, ndtri

from salmu_core.benchmark.splits import EvaluationData
from salmu_core.contract.layout import FORGET, HOLDOUT_ASSOCIATION, HOLDOUT_IDENTITY, ZEROSHOT
from salmu_core.contract.results import MetricResult, PerRow, Ranks, Retrieved
from salmu_core.judge.statistics import Floats

#: Split -> the metric that says how near its pairs are, and the one that looks for its captions.
COSINES = {
    FORGET: "AssocStr",
    HOLDOUT_ASSOCIATION: "IntraIdSim",
    HOLDOUT_IDENTITY: "InterIdSim",
    "retain_joint": "VisIdInt",
    "fragile_set": "FragSim",
}
SEARCHES = {FORGET: "RetFail", HOLDOUT_ASSOCIATION: "IntraIdRet", HOLDOUT_IDENTITY: "InterIdRet"}
#: Split -> mean cosine of its pairs in Clean and in Compromised.
COSINE = {
    FORGET: (0.12, 0.62),
    HOLDOUT_ASSOCIATION: (0.12, 0.60),
    HOLDOUT_IDENTITY: (0.11, 0.61),
    "retain_joint": (0.52, 0.52),
    "fragile_set": (0.48, 0.48),
}
#: Of Compromised: captions it finds first, forgotten people it names, classes it tells.
FOUND, NAMED, GENERAL = 0.6, 0.8, 0.9
#: Captions listed for an image.
SHOWN = 5


class Knows(NamedTuple):
    """How much a model knows: 1 is as much as Compromised, 0 as little as Clean, below 0 less than that."""

    forget: float
    association: float
    identity: float
    general: float

    def after(self, strength: float) -> Knows:
        """What a method leaves that has worked only so far, from 0, not at all, to 1."""
        return Knows(*(1 + (share - 1) * strength for share in self))


CLEAN, COMPROMISED = Knows(0, 0, 0, 1), Knows(1, 1, 1, 1)


@dataclass(frozen=True)
class Answers:
    """What metrics would say of a model.

    A row is as easy for every model, and rows of one person are alike, so that models of one world can be held against
    each other row by row.

    Attributes:
        data: The benchmark's rows.
        knows: How much the model knows.
        world: Decides how easy rows are.
        salt: Tells models apart that know as much.
    """

    data: EvaluationData
    knows: Knows
    world: int = 0
    salt: int = 0

    def results(self) -> dict[str, MetricResult]:
        """Metric -> what it returns."""
        return dict((*self._similarities(), *self._searches(), *self._choices()))

    def _ease(self, split: str) -> Floats:
        """How easily each row is known ``[n]``: uniform between 0 and 1."""
        _, people = self.data.names(split)
        person = {who: ndtri((crc32(f"{self.world} {who}".encode()) + 0.5) / 2**32) if who else 0.0 for who in people}
        row, own = self._rng(split).normal(size=len(people)), self._rng(split, self.salt).normal(size=len(people))
        return ndtr(0.6 * np.array([person[who] for who in people]) + 0.8 * row + 0.02 * own)

    def _rng(self, *words: str | int) -> np.random.Generator:
        return np.random.default_rng([self.world, *(crc32(str(word).encode()) for word in words)])

    def _share(self, split: str) -> float:
        shares = {HOLDOUT_ASSOCIATION: self.knows.association, HOLDOUT_IDENTITY: self.knows.identity}
        luck = 0.01 * self._rng(split, self.salt, "luck").normal() if self.salt else 0.0
        return shares.get(split, self.knows.forget) + luck

    def _cosine(self, split: str) -> Floats:
        low, high = COSINE[split]
        mean = low + self._share(split) * (high - low) if split in SEARCHES else high * self.knows.general
        own = self._rng(split, self.salt, "cosine").normal(size=len(self.data.names(split)[0]))
        return np.clip(mean + 0.07 * ndtri(self._ease(split)) + 0.03 * own, -1, 1)

    def _similarities(self) -> Iterator[tuple[str, MetricResult]]:
        for split, metric in COSINES.items():
            yield metric, MetricResult(per_row=PerRow(split, self._cosine(split)))
        yield "CoreAssoc", MetricResult(per_row=PerRow(FORGET, 0.6 * self._cosine(FORGET)))

    def _searches(self) -> Iterator[tuple[str, MetricResult]]:
        kept, others = self.data.locate("retain_disjoint")
        for split, metric in SEARCHES.items():
            captions = [*self.data.base[split].captions, *(kept.captions[i] for i in others)]
            size = len(captions)
            rank = self._ranks(split, size)
            guessed, like = float((1 / np.arange(1, size + 1)).mean()), None
            rows, chance = 1 / rank, guessed
            if split == FORGET:
                rows, chance = {"MRR": 1 / rank, "R@1": (rank == 1).astype(float)}, {"MRR": guessed, "R@1": 1 / size}
                alike = 1 + len(self.data.base[split])
                like = np.ceil(rank * alike / size), alike
            ranks, listed = Ranks(split, rank, size, like), self._retrieved(split, captions, rank)
            yield metric, MetricResult(per_row=PerRow(split, rows), chance=chance, ranks=ranks, retrieved=listed)

    def _ranks(self, split: str, size: int) -> Floats:
        """Where each row's caption stands ``[n]``, from 1: easy ones first, others as far behind as little is known."""
        share, ease = self._share(split), self._ease(split)
        first = FOUND * max(0.0, share)
        behind = np.clip((1 - first - ease) / (1 - first), 0, 1)
        return 1.0 + np.floor(behind ** (1 + 3 * max(0.0, share) + 0.9 * min(0.0, share)) * (size - 1))

    def _retrieved(self, split: str, captions: Sequence[str], rank: Floats) -> Retrieved:
        """The own caption where its rank says, others around it, and cosines that fall from place to place."""
        n, size = len(rank), len(captions)
        rng, own = self._rng(split, self.salt, "others"), np.arange(n)[:, None]
        others = rng.random((n, size - 1)).argsort(axis=1)[:, :SHOWN]
        others += others >= own
        above = np.minimum(rank, SHOWN + 1)[:, None] - np.arange(1, SHOWN + 1)
        cosines = self._cosine(split)[:, None] + above * (0.005 + 0.02 * rng.random((n, 1)))
        return Retrieved(split, captions, np.where(above == 0, own, others), cosines)

    def _choices(self) -> Iterator[tuple[str, MetricResult]]:
        """Right and wrong answers."""
        leak, held_out = max(0.0, self.knows.forget), np.arange(0, len(self.data.base[FORGET]), 2)
        told = 0.5 + 0.5 * (self._ease(FORGET)[held_out] > 0.9 * (1 - leak))
        yield "ACS", MetricResult(per_row=PerRow(FORGET, told, held_out), chance=0.5)
        guessed = 1 / len(set(self.data.names("forget_identity")[1]))
        named, general = guessed + (NAMED - guessed) * leak, GENERAL * self.knows.general
        for metric, split, share in (("IdZSC", "forget_identity", named), ("GenKnow", ZEROSHOT, general)):
            yield metric, MetricResult(per_row=PerRow(split, (self._ease(split) > 1 - share).astype(float)))


def curves(steps: int, knows: Knows, salt: int) -> dict[str, list[tuple[int, float]]]:
    """Training curves of at most 300 points; weights that are edited have none."""
    if not steps:
        return {}
    rng = np.random.default_rng(salt)
    points = np.unique(np.linspace(1, steps, min(steps, 300)).astype(int))
    fall = np.exp(-4 * points / steps)
    parts = {
        "forgetting": fall * (1.2 - max(0.0, knows.forget)) + 0.02 * rng.random(len(points)),
        "retention": (1 - fall) * (1.05 - knows.identity) + 0.02 * rng.random(len(points)),
    }
    curves = {"loss": sum(parts.values()), **parts}
    return {name: list(zip(points.tolist(), values.tolist(), strict=True)) for name, values in curves.items()}
