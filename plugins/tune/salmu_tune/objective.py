"""What a trial is scored by: one number from two probes, the same for every method. Needs no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from salmu_core.contract.probe import Probe
from salmu_core.judge.protocol import MIN_LEAKAGE_REDUCTION

#: Of a trial without a valid model; nothing is worse.
WORST = 0.0


@dataclass(frozen=True)
class Score:
    """What became of a model that was to forget, as far as its probe tells.

    Attributes:
        forgotten: Share of the leak that is gone, from 0 to 1.
        kept: Share of the retain images whose nearest caption is what it was, from 0 to 1.
    """

    forgotten: float
    kept: float

    @property
    def value(self) -> float:
        """The objective, from 0 to 1: to forget comes first.

        Once the leak is gone, by the bar of the verdicts, what is kept counts, from a half upwards. Before that it is
        half of the harmonic mean of both: who forgets nothing, or keeps nothing, has 0.
        """
        if self.forgotten >= MIN_LEAKAGE_REDUCTION:
            return (1 + self.kept) / 2
        both = self.forgotten + self.kept
        return self.forgotten * self.kept / both if both else WORST

    def as_json(self) -> dict[str, Any]:
        """Its two parts and the objective."""
        return {**asdict(self), "objective": self.value}


def score(probe: Probe, original: Probe, rows: int) -> Score:
    """Score a finished model by `Probe` alone.

    The leak is how far ``forget_mrr`` lies above chance: above the mean reciprocal rank of a model that knows a forget
    caption when it sees one, and not whose it is, (1 + 1/2 + ... + 1/rows) / rows. What is below that is no better:
    a caption that comes last tells on its owner as well. Utility is ``retain_agreement``, which is 1 for the original.

    Args:
        probe: Of the finished model.
        original: Of the model that it began with.
        rows: Forget rows that a probe looks at.
    """
    chance = sum(1 / rank for rank in range(1, rows + 1)) / rows
    leaked, left = (max(0.0, it.forget_mrr - chance) for it in (original, probe))
    gone = 1 - left / leaked if leaked else float(left == 0)
    return Score(max(0.0, gone), probe.retain_agreement)
