"""Weight distortion: noise on every weight, and then training on what is to be kept.

With z standard normal, theta_0 the original's weights and C the contrastive loss of retain pairs::

    theta_1 = theta_0 + s z,   then minimise C from theta_1
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from salmu_core import LearningRate, MethodContext, MethodSpec, Search, TrainingConfig, hookimpl
from salmu_core.losses import retain_loss


class Config(TrainingConfig):
    """Settings of Weight distortion."""

    lr: LearningRate = 3.23e-3
    noise: Annotated[float, Search(0.002, 0.2, log=True)] = Field(
        0.0794, gt=0, description="s: the noise's standard deviation."
    )


def unlearn(ctx: MethodContext[Config]) -> None:
    """Distort, then train on retain pairs until the budget ends."""
    with ctx.edit() as weights:
        for name, weight in weights.items():
            if name != "logit_scale":
                weight.add_(ctx.randn_like(weight), alpha=ctx.config.noise)
    ctx.fit(retain_loss)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="weight-distortion",
            summary="Add noise to every weight, then train on the retain set.",
            paper="https://arxiv.org/abs/2505.22310",
            code="https://github.com/shoaibahmed/vision_relearning/blob/7b9a1cc/vision_unlearner.py",
            departures="CLIP's contrastive loss for cross-entropy. The temperature, a weight that classifiers don't "
            "have, gets no noise.",
            config=Config,
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
