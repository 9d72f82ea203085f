"""Rows of two models, one of which forgets more."""

import numpy as np
from stores import around, leak

RNG = np.random.default_rng(7)
RANKS = RNG.integers(1, 30, size=80)
#: The second model finds the captions of the first ten people less easily, and those of the last five more.
LATER = np.concatenate([RANKS[:40] * 3, RANKS[40:60], np.maximum(1, RANKS[60:] // 5)])
A = {**leak(RANKS), "AssocStr": around(0.30, 1), "GenKnow": around(0.80, 2), "InterIdSim": around(0.50, 3)}
B = {
    **leak(LATER),
    "AssocStr": A["AssocStr"] - around(0.45, 4, 0.02),
    "GenKnow": A["GenKnow"] + around(0, 5, 0.02),
    "InterIdSim": A["InterIdSim"] - around(0.02, 6, 0.01),
}
CLEAN = {
    **leak(np.full(80, 500)),
    "AssocStr": around(0.02, 8),
    "GenKnow": around(0.8, 9),
    "InterIdSim": around(0.1, 10),
}
COMPROMISED = {**A, "GenKnow": around(0.81, 11), "InterIdSim": A["InterIdSim"] + around(0.01, 12, 0.01)}
