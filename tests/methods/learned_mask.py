"""A learned mask: which entries of the projections to keep is trained, and the weights themselves are not."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from salmu_core import LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, hookimpl
from salmu_core.losses import mse

MASKED = ("text_projection",)


class Mask(nn.Module):
    """W -> W * sigmoid(scores), which is nearly W at the start."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.full_like(weight, 5.0))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.scores.sigmoid()


class Config(TrainingConfig):
    """Settings of the scores."""

    lr: LearningRate = 1e-1


def loss(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
    """Forget pairs to 0, retain similarities as they were."""
    now, before = ctx.features(step.retain), ctx.reference_features(step.retain)
    return {"leak": ctx.features(step.forget).pair_similarity.mean(), "keep": mse(now.similarity, before.similarity)}


def unlearn(ctx: MethodContext[Config]) -> None:
    """Train the scores, and multiply the weights by them at the end."""
    model = ctx.model.get_submodule("")
    for name in MASKED:
        parametrize.register_parametrization(model, name, Mask(model.get_parameter(name)))
    ctx.fit(loss, params=lambda name: name.endswith(".scores"))
    for name in MASKED:
        parametrize.remove_parametrizations(model, name)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    facts = {"summary": "A learned mask.", "paper": "https://arxiv.org/abs/1801.06519", "departures": "A test."}
    return [MethodSpec(name="learned-mask", config=Config, unlearn=unlearn, **facts)]
