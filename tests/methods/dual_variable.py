"""A dual variable: lower the forget pairs' similarity as far as the retain set's error stays below a bound."""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from salmu_core import LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, hookimpl
from salmu_core.losses import mse


class Config(TrainingConfig):
    """Settings of the descent, and the bound."""

    lr: LearningRate = 1e-2
    bound: float = Field(default=1e-3, ge=0, description="What the retain similarities may be off by, squared.")


def unlearn(ctx: MethodContext[Config]) -> None:
    """Descend in the weights and climb in the dual variable, which goes on from where an earlier run left it."""
    start = ctx.state.get("log_dual", torch.zeros(()))
    dual = nn.ParameterDict({"log": start.clone().to(ctx.device)})

    def loss(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
        leak = ctx.features(step.forget).pair_similarity.mean()
        now, before = ctx.features(step.retain), ctx.reference_features(step.retain)
        excess = mse(now.similarity, before.similarity) - ctx.config.bound
        weight = dual["log"].exp()
        # The first is the model's, at the weight of now; the second has the gradient of the dual, which climbs.
        return {"leak": leak, "keep": weight.detach() * excess, "dual": -weight * excess.detach()}

    ctx.fit(loss, also={"dual": dual})
    ctx.state["log_dual"] = dual["log"].detach()


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    facts = {"summary": "A bound on harm.", "paper": "https://arxiv.org/abs/2002.10619", "departures": "A test."}
    return [MethodSpec(name="dual-variable", config=Config, unlearn=unlearn, **facts)]
