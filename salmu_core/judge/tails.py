"""What a mean hides: the people who leak most, and how clearly deletion itself shows. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from salmu_core.contract.layout import FORGET, HOLDOUTS
from salmu_core.judge.statistics import Clusters, Floats, tpr_at_fpr, worst

#: Name -> what it is.
TAILS = {
    "worst_1%": "leak of the 1% of people who leak most, at least one",
    "worst_5%": "the same of 5%",
    "people@1": "share of people of whom some caption is still retrieved first",
    "TPR@0.1%FPR": "share of forget pairs told from holdout pairs by their cosine, at 0.1% false alarms",
}
FALSE_ALARMS = 0.001


def tails(leak: Clusters | None, first: Clusters | None, cosines: Mapping[str, Floats]) -> dict[str, float]:
    """The tails of one model, those that can be told.

    ``TPR@0.1%FPR`` takes the better of both directions: forget pairs may lie above the holdouts or below them. It is a
    few thousandths where deletion leaves no trace, in Clean and in Compromised, and is not told of fewer than 1,000
    holdout pairs. A method that erases what it should and nothing else can't avoid a trace: its forget pairs look
    unseen and its holdouts don't.

    Args:
        leak: The leading leak by person.
        first: Whether each caption that was to be forgotten is retrieved first, 1 or 0, by person.
        cosines: Split -> cosine of each of its pairs.
    """
    values: dict[str, float] = {}
    if leak is not None and len(leak) > 1:
        values |= {"worst_1%": worst(leak, 0.01), "worst_5%": worst(leak, 0.05)}
    if first is not None and len(first) > 1:
        values["people@1"] = float((first.sums > 0).mean())
    if {FORGET, *HOLDOUTS} <= cosines.keys():
        forget, kept = cosines[FORGET], np.concatenate([cosines[split] for split in HOLDOUTS])
        if len(kept) >= 1 / FALSE_ALARMS:
            # Two ways to be told apart share the false alarms that are allowed.
            values["TPR@0.1%FPR"] = max(tpr_at_fpr(sign * forget, sign * kept, FALSE_ALARMS / 2) for sign in (1, -1))
    return values
