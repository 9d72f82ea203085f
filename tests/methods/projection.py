"""Projected gradients: forget in no direction that the retain set knows (Hoang et al. 2024), one a step."""

from collections.abc import Mapping

from torch import Tensor

from salmu_core import MethodContext, MethodSpec, Step, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss

Gradients = Mapping[str, Tensor]


def loss(ctx: MethodContext[TrainingConfig], step: Step) -> Mapping[str, Tensor]:
    """What is forgotten, and what is kept."""
    return {"forget": -contrastive_loss(ctx, step.forget), "retain": contrastive_loss(ctx, step.retain)}


def project(terms: Mapping[str, Gradients]) -> Gradients:
    """The part of the forget gradient that is orthogonal to the retain gradient, and the retain gradient."""
    forget, retain = terms["forget"], terms["retain"]
    along = sum((forget[name] * retain[name]).sum() for name in retain)
    length = sum(gradient.square().sum() for gradient in retain.values())
    return {name: forget[name] + (1 - along / length) * retain[name] for name in retain}


def unlearn(ctx: MethodContext[TrainingConfig]) -> None:
    """Both terms, all weights."""
    ctx.fit(loss, transform=project)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="projection",
            summary="Ascend the CLIP loss of the forget set, orthogonally to the retain set's gradient.",
            paper="https://arxiv.org/abs/2312.04095",
            departures="A test.",
            config=TrainingConfig.with_defaults(lr=1e-4),
            unlearn=unlearn,
        )
    ]
