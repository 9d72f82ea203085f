"""How the benchmark's authors ran four of the methods: their public adaptation of MultiDelete to CLIP, at a commit."""

from __future__ import annotations

from typing import Final

from salmu_core import Recommended

_CODE: Final = "https://github.com/lluisgomez/MultiDelete/blob/14e67ac0eb28727d0956eaa405e357ed722b16d5"
#: Ten epochs, each of which goes through the forget set once, with as many retain pairs.
_TRAINED: Final = Recommended(
    config={"lr": 1e-7},
    budget=10,
    source="The authors' public adaptation trained ViT-B/16 so, for 10 epochs of the forget set.",
    link=f"{_CODE}/configs/clip/retrieval_salmu.yaml",
)

#: Method -> its settings there.
SETTINGS: Final = {
    **dict.fromkeys(("cliperase", "delete", "vlunlearn"), _TRAINED),
    "descent-to-delete": Recommended(
        source="The default constants are those of the authors' public adaptation.",
        link=f"{_CODE}/vl_unlearn/runner_unlearn.py",
    ),
}
