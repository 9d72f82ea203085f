"""CF-k and EU-k: only the last k blocks of each tower, and what follows them, are trained on what is to be kept.

`cf` (catastrophically forget) goes on from the weights as they are; `eu` (exact unlearn) draws them anew first, so that
of these blocks nothing is left. All other weights stay what they are, bit for bit.
"""

import re
from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from salmu_core import MethodContext, MethodError, MethodSpec, TrainingConfig, hookimpl
from salmu_core.losses import retain_loss

#: A block's weight: the tower, and the block's number.
_BLOCK = re.compile(r"(?P<tower>.*?)\b(resblocks|blocks|layers?)\.(?P<number>\d+)\.")
#: What follows the blocks: norm and projection.
_AFTER = re.compile(
    r"(text\.)?(ln_final|text_projection|proj)\b|visual\.(ln_post|proj|head|attnpool)\b|visual\.trunk\.(fc_)?norm\b"
)


class Config(TrainingConfig):
    """Settings of CF-k and EU-k."""

    variant: Literal["cf", "eu"] = Field(
        "cf", description="`cf`: train the last blocks as they are; `eu`: draw them anew, then train them."
    )
    blocks: int = Field(1, ge=1, description="k: how many blocks of each tower.")


def last(names: Iterable[str], blocks: int) -> set[str]:
    """Of the names of weights, those of each tower's last blocks and of what follows.

    Raises:
        MethodError: There are no blocks, or they are not numbered as open_clip's transformers have them.
    """
    names = list(names)
    found = {name: match for name in names if (match := _BLOCK.match(name))}
    count = {match["tower"]: 0 for match in found.values()}
    for match in found.values():
        count[match["tower"]] = max(count[match["tower"]], int(match["number"]) + 1)
    if len(count) < 2:
        raise MethodError("the model has not two towers of numbered blocks, so it can't be said which are the last")
    late = {name for name, match in found.items() if int(match["number"]) >= count[match["tower"]] - blocks}
    return late | {name for name in names if _AFTER.match(name)}


def unlearn(ctx: MethodContext[Config]) -> None:
    """Draw the last blocks anew if the variant says so, then train them on retain pairs until the budget ends."""
    chosen = last((name for name, _ in ctx.model.named_parameters()), ctx.config.blocks)
    if ctx.config.variant == "eu":
        with ctx.edit() as weights:
            for name in sorted(chosen):
                weight, linear = weights[name], name.endswith("weight")
                if weight.ndim < 2:
                    weight.fill_(linear)  # of a layer norm, 1; of biases, 0
                else:  # a bare projection is multiplied from the right
                    inputs = weight[0].numel() if linear else len(weight)
                    weight.copy_(ctx.randn_like(weight) * inputs**-0.5)
    ctx.fit(retain_loss, params=chosen.__contains__)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="last-layers",
            summary="Train the last blocks on the retain set, as they are or from new.",
            paper="https://arxiv.org/abs/2201.06640",
            departures="Blocks of both towers stand for layers; the projections belong to the last. `eu` draws with "
            "variance 1 / inputs, whatever the architecture's own way. CLIP's contrastive loss for cross-entropy.",
            config=Config.with_defaults(lr=3.39e-3),
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
