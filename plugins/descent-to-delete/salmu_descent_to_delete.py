"""Descent to Delete: noise on the weights, calibrated by Theorem 3.1 of Neel, Roth and Sharifi-Malvajerdi."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from salmu_core import MethodContext, MethodSpec, Search, Step, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss


class Config(TrainingConfig):
    """Settings of Descent to Delete; the constants are those of the public adaptation to CLIP."""

    lr: float = Field(1e-3, gt=0, description="Peak learning rate, of `paper` only.")
    variant: Literal["salmubench", "paper"] = Field(
        "salmubench",
        description="`salmubench`: noise only, as in public code; `paper`: first descend on the retain set.",
    )
    iterations: int = Field(
        1,
        ge=1,
        description="I: descent iterations `salmubench` calibrates its noise for, without making any; "
        "`paper` takes the number of steps it made.",
    )
    lipschitz: float = Field(1.001, gt=0, description="L: Lipschitz constant the loss is taken to have.")
    smoothness: float = Field(3.999, gt=0, description="M: smoothness the loss is taken to have.")
    strong_convexity: float = Field(0.001, gt=0, description="m: strong convexity the loss is taken to have.")
    epsilon: Annotated[float, Search(0.5, 500, log=True)] = Field(5.0, gt=0, description="Privacy parameter epsilon.")
    delta: float | None = Field(None, gt=0, lt=1, description="Privacy parameter delta; by default 1 / n^2.")

    @model_validator(mode="after")
    def _contracts(self) -> Self:
        if self.strong_convexity >= self.smoothness:
            raise ValueError("strong_convexity must be below smoothness")
        return self


def sigma(config: Config, num_train: int, iterations: int) -> float:
    """Standard deviation of the noise, Theorem 3.1.

    Args:
        config: The constants.
        num_train: n, the size of the training set.
        iterations: I, the number of descent iterations after the deletion.
    """
    m, big_m = config.strong_convexity, config.smoothness
    contraction = ((big_m - m) / (big_m + m)) ** iterations
    log_delta = 2 * math.log(num_train) if config.delta is None else -math.log(config.delta)
    privacy = math.sqrt(log_delta + config.epsilon) - math.sqrt(log_delta)
    return 4 * math.sqrt(2) * config.lipschitz * contraction / (m * num_train * (1 - contraction) * privacy)


def loss(ctx: MethodContext[Config], step: Step) -> Tensor:
    """The contrastive loss of retain pairs, which `paper` descends while the budget lasts."""
    return contrastive_loss(ctx, step.retain)


def unlearn(ctx: MethodContext[Config]) -> None:
    """Add the noise to every weight, after the descent if the variant has one."""
    iterations = ctx.fit(loss) if ctx.config.variant == "paper" else ctx.config.iterations
    scale = sigma(ctx.config, ctx.num_train, iterations)
    ctx.log("sigma", scale)
    with ctx.edit() as weights:
        for weight in weights.values():
            weight.add_(ctx.randn_like(weight), alpha=scale)
        # Back into CLIP's own range; a function of the noised weights alone costs no privacy.
        weights["logit_scale"].clamp_(0, math.log(100))


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="descent-to-delete",
            summary="Add calibrated Gaussian noise to the weights.",
            paper="https://arxiv.org/abs/2007.02923",
            code="https://github.com/lluisgomez/MultiDelete/blob/14e67ac0eb28727d0956eaa405e357ed722b16d5/vl_unlearn/runner_unlearn.py",
            departures="The theorem needs a strongly convex loss; CLIP's is not, so it guarantees "
            "nothing here. The default makes no descent, as in public code; `paper` descends, "
            "but with AdamW on batches instead of projected gradient descent on the whole "
            "set. After the noise, the temperature is clamped to CLIP's range.",
            config=Config,
            chosen_on="mini",
            tags=("baseline",),
            unlearn=unlearn,
        )
    ]
