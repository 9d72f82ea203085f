"""The bars of the verdicts."""

#: The paper's bar for efficacy: more than 99% of the leakage is gone.
MIN_LEAKAGE_REDUCTION = 0.99
#: The paper's bar for utility: general knowledge falls by less than 1%, relatively.
MAX_KNOWLEDGE_DROP = 0.01
#: Of what lies between never having seen a holdout and knowing it, this much must be kept.
MIN_HOLDOUT_RETENTION = 0.9
#: Of the leak an attack may bring back as much as the bar for efficacy lets a method leave.
MAX_RECOVERED = 0.01
