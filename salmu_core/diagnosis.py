"""What a run's figures say: leakage reduction, holdout retention, and which of three ways it failed.

Derived after the paper's words; the thresholds are this project's and documented as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LEAK = "RetFail_MRR"
KNOWLEDGE = "GenKnow"
HOLDOUTS = ("InterIdSim", "IntraIdSim")

#: The paper's bar for efficacy: more than 99% of the leakage is gone.
MIN_LEAKAGE_REDUCTION = 0.99
#: The paper's bar for utility: GenKnow falls by less than 1%, relatively.
MAX_KNOWLEDGE_DROP = 0.01
#: Of what lies between never having seen a holdout and knowing it, this much must be kept.
MIN_HOLDOUT_RETENTION = 0.9

INEFFECTIVE, CATASTROPHIC, OVER_GENERALISED = "ineffective", "catastrophic", "over-generalised"

Values = Mapping[str, float]


@dataclass(frozen=True)
class Diagnosis:
    """What a run's figures say; None where a figure or a reference is missing.

    Attributes:
        leakage_reduction: 1 - MRR / MRR(Compromised).
        holdout_retention: Holdout metric -> (x - Clean) / (Compromised - Clean): 1 keeps everything, 0 is as
            if never seen, below 0 is worse than never seen.
        failure_modes: Those of the three that hold; None if one could not be judged.
    """

    leakage_reduction: float | None
    holdout_retention: dict[str, float]
    failure_modes: tuple[str, ...] | None

    @property
    def failure_mode(self) -> str | None:
        """The modes in words, ``none`` if none holds."""
        if self.failure_modes is None:
            return None
        return ", ".join(self.failure_modes) or "none"


def diagnose(values: Values, clean: Values, compromised: Values) -> Diagnosis:
    """Judge a run against the two reference models.

    A run whose leak is no larger than Clean's is never called ineffective: on a small benchmark chance alone
    can keep Clean itself short of a reduction of 99%.
    """
    reduction = _reduction(values.get(LEAK), compromised.get(LEAK))
    retention = {
        name: (values[name] - clean[name]) / (compromised[name] - clean[name])
        for name in HOLDOUTS
        if name in values and name in clean and name in compromised and compromised[name] != clean[name]
    }
    drop = _reduction(values.get(KNOWLEDGE), compromised.get(KNOWLEDGE))
    if reduction is None or drop is None or len(retention) < len(HOLDOUTS):
        return Diagnosis(reduction, retention, None)
    bar = min(MIN_LEAKAGE_REDUCTION, _reduction(clean.get(LEAK), compromised.get(LEAK)) or 1.0)
    holds = {
        INEFFECTIVE: reduction < bar,
        CATASTROPHIC: drop > MAX_KNOWLEDGE_DROP,
        OVER_GENERALISED: min(retention.values()) < MIN_HOLDOUT_RETENTION,
    }
    return Diagnosis(reduction, retention, tuple(mode for mode, held in holds.items() if held))


def _reduction(value: float | None, before: float | None) -> float | None:
    """1 - value / before, where both are known."""
    return 1 - value / before if value is not None and before else None
