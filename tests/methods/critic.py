"""A second network: a critic that learns which captions belong to forget images, and a model that deceives it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from salmu_core import LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss


class Reversed(torch.autograd.Function):
    """Turns gradients round (Ganin and Lempitsky 2015), so that one descent is the model's and the critic's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return -gradients[0]


class Config(TrainingConfig):
    """Settings of both networks."""

    lr: LearningRate = 1e-3


def unlearn(ctx: MethodContext[Config]) -> None:
    """Train both at once."""
    width = ctx.reference_texts(["a caption"]).shape[1]
    with torch.random.fork_rng():  # new layers draw from the global generator
        critic = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 1)).to(ctx.device)

    def loss(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
        pairs = ctx.features(step.forget)
        image, text = Reversed.apply(pairs.image), Reversed.apply(pairs.text)
        own, other = (critic(torch.cat([image, captions], dim=1)) for captions in (text, text.roll(1, dims=0)))
        told = nn.functional.softplus(-own).mean() + nn.functional.softplus(other).mean()
        return {"critic": told, "keep": contrastive_loss(ctx, step.retain)}

    ctx.fit(loss, also={"critic": critic})


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    facts = {"summary": "A critic to deceive.", "paper": "https://arxiv.org/abs/1505.07818", "departures": "A test."}
    return [MethodSpec(name="critic", config=Config, unlearn=unlearn, **facts)]
