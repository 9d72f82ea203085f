"""Estimates a method may look at while it runs, on nothing but what it sees anyway."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """Estimates on a fixed slice of what the method may see anyway; never a reported metric.

    Attributes:
        forget_mrr: Mean reciprocal rank of each forget caption among the captions of both slices, as RetFail's
            gallery mixes both.
        forget_similarity: Mean cosine of forget pairs.
        retain_mrr: As ``forget_mrr``, retain set.
        retain_similarity: Mean cosine of retain pairs.
    """

    forget_mrr: float
    forget_similarity: float
    retain_mrr: float
    retain_similarity: float
