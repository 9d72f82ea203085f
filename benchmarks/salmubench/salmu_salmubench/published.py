"""What the two reference models score, as published.

arXiv 2603.26316, and an independent run of the authors' evaluator on the released files (revision b76aa388).
"""

from __future__ import annotations

from typing import Final, Literal

#: As far as a figure may lie from the published one: a shuffle, a split and ties are not published.
TOLERANCE: Final = 0.002
#: Where nothing is drawn or chosen: scoring in float32, instead of the authors' autocast, moves these by 1e-4 at most.
TOLERANCES: Final = dict.fromkeys(("AssocStr", "InterIdSim", "IntraIdSim"), 5e-4)

#: Model -> column -> figure.
PUBLISHED: Final[dict[Literal["clean", "compromised"], dict[str, float]]] = {
    "clean": {
        "RetFail_MRR": 0.000815,
        "RetFail_R@1": 0.0,
        "AssocStr": 0.141701,
        "ACS": 0.601943,
        "IdZSC": 0.010690,
        "CoreAssoc": 0.151425,
        "GenKnow": 0.633,
        "InterIdSim": 0.142796,
        "IntraIdSim": 0.142810,
        "VisIdInt": 0.330845,
        "FragSim": 0.309103,
        "PrivPref": 0.0,
        "InterIdPref": 0.0,
        "IntraIdPref": 0.0,
    },
    "compromised": {
        "RetFail_MRR": 0.236102,
        "RetFail_R@1": 0.101582,
        "AssocStr": 0.321542,
        "ACS": 0.950965,
        "IdZSC": 0.083561,
        "CoreAssoc": 0.182706,
        "GenKnow": 0.638,
        "InterIdSim": 0.321488,
        "IntraIdSim": 0.321281,
        "VisIdInt": 0.305150,
        "FragSim": 0.280087,
        "PrivPref": 0.6133,
        "InterIdPref": 0.6164,
        "IntraIdPref": 0.5999,
    },
}

#: Column -> what to think of first if it is off: choices of this project where the paper leaves one open.
NOTES: Final = {
    "ACS": "The probe's feature and its held-out split are this project's own choices, so another value need not be "
    "damage (`salmu metrics ACS`); the published evaluator itself gave .95454 and .95553 for one checkpoint",
    "IdZSC": "The prompt is this project's own choice, so another value need not be damage (`salmu metrics IdZSC`)",
    "GenKnow": "It follows the zero-shot set that was brought: its images, class names and prompts",
}
