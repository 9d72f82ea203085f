"""Which figures the verdicts read, and their bars: the one place of the judge that names metrics."""

from __future__ import annotations

from salmu_core.contract.layout import FORGET, HOLDOUT_ASSOCIATION, HOLDOUT_IDENTITY

#: Split -> the metric whose rows are the cosines of its pairs.
COSINES = {
    FORGET: "AssocStr",
    HOLDOUT_ASSOCIATION: "IntraIdSim",
    HOLDOUT_IDENTITY: "InterIdSim",
    "retain_joint": "VisIdInt",
    "fragile_set": "FragSim",
}
#: Split -> the metric that looks for its captions.
SEARCHES = {FORGET: "RetFail", HOLDOUT_ASSOCIATION: "IntraIdRet", HOLDOUT_IDENTITY: "InterIdRet"}
RANK = "rank"
#: The rank among the gallery's captions of the same split, without those that describe pictures.
PRIVATE = "rank_private"

LEAK = "RetFail_MRR"
#: Share of forget captions that are retrieved first.
RETRIEVED_FIRST = "RetFail_R@1"
KNOWLEDGE = "GenKnow"
#: Holdouts by similarity, and by retrieval where that is measured: a mean cosine hides a reshuffled space.
HOLDOUTS = ("InterIdSim", "IntraIdSim")
RETRIEVALS = ("InterIdRet", "IntraIdRet")
#: Whether somebody is named right among all who were to be forgotten.
NAMING = "IdZSC"
#: Whether a probe tells a person's own captions from other people's.
PROBING = "ACS"

#: The paper's bar for efficacy: more than 99% of the leakage is gone.
MIN_LEAKAGE_REDUCTION = 0.99
#: The paper's bar for utility: GenKnow falls by less than 1%, relatively.
MAX_KNOWLEDGE_DROP = 0.01
#: Of what lies between never having seen a holdout and knowing it, this much must be kept.
MIN_HOLDOUT_RETENTION = 0.9
