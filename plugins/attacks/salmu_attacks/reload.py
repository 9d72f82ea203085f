"""Reloading: put a part of the original back, and see whether the rest still knew."""

import re
from collections.abc import Iterator
from typing import Any

from salmu_attacks.original import original_weights
from salmu_core import AttackSpec, ModelAttackContext

#: Part -> the names of its weights, as open_clip's classes of CLIP have them; a tower has its projection with it.
PARTS = {
    "text projection": r"(text\.)?(text_projection|proj)(\.|$)",
    "image projection": r"visual\.(proj|head\.proj|head\.mlp|attnpool\.c_proj)(\.|$)",
    "text tower": r"(?!visual\.|logit_)",
    "image tower": r"visual\.",
}


def attack(ctx: ModelAttackContext[Any]) -> Iterator[str]:
    """The checkpoint with one part of the original at a time; a part that the model hasn't is left out."""
    start, original = ctx.reference.state_dict(), original_weights(ctx)
    for part, names in PARTS.items():
        old = {name: weight for name, weight in original.items() if re.match(names, name)}
        if not old:
            ctx.not_measured(part, "the model has no such part")
            continue
        for name, weight in ctx.model.state_dict().items():
            weight.copy_(old.get(name, start[name]))
        yield part


RELOAD = AttackSpec(
    name="reload",
    summary="Put the original's projections or one of its towers back: did the rest of the model still know?",
    paper="https://cvpr.thecvf.com/virtual/2026/poster/39075",
    departures="Of the paper, which reloads the projections of a vision-language model, only this test is taken; "
    "towers are put back too.",
    given=("original",),
    model=attack,
)
