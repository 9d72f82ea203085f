"""Estimates a method may look at while it runs, on nothing but forget and retain pairs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """Estimates on a fixed slice of the forget and of the retain set; never a reported metric.

    Forget rows of the slice are drawn in batches as well: it is they that are to be forgotten. Retain rows of it are
    not, so that what a method does to pairs it was not trained on shows; a retain set of fewer than 10 pairs can't
    spare any.

    Attributes:
        forget_mrr: Mean reciprocal rank of each forget caption among the captions of both slices.
        forget_similarity: Mean cosine of forget pairs.
        retain_mrr: As ``forget_mrr``, retain set.
        retain_similarity: Mean cosine of retain pairs.
        retain_agreement: Share of retain images whose nearest caption of the slice is the one the original finds
            nearest, right or wrong. Utility is to stay as it was: training on the retain set can raise its rank and
            still cost the model what it knew.
    """

    forget_mrr: float
    forget_similarity: float
    retain_mrr: float
    retain_similarity: float
    retain_agreement: float = 1.0
