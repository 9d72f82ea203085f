"""RMU: representation misdirection, in the hidden states that a layer of either tower leaves."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from salmu_core import ClipModel, MethodContext, MethodError, MethodSpec, Search, Step, TrainingConfig, Weight, hookimpl
from salmu_core.losses import mse


class Config(TrainingConfig):
    """Settings of RMU."""

    variant: Literal["published", "isotropic"] = Field(
        "published", description="Of what u is drawn: `published`, numbers from 0 to 1; `isotropic`, normal ones."
    )
    tower: Literal["image", "text", "both"] = Field("both", description="Whose hidden states are steered.")
    layer: int | None = Field(None, ge=0, description="Block of the tower, from 0; by default the middle one.")
    steering: Annotated[float, Search(0.5, 20, log=True)] = Field(18.8, gt=0, description="c: the goal's length.")
    retention_weight: Weight = Field(9.96, description="a: weight of the term that keeps retain states.")


def block(model: ClipModel, tower: str, layer: int | None) -> str:
    """The name of a block: of a tower's outermost list of modules."""
    for name, part in model.named_modules():
        if isinstance(part, nn.ModuleList) and name.startswith("visual") == (tower == "image"):
            number = (len(part) - 1) // 2 if layer is None else layer
            if number < len(part):
                return f"{name}.{number}"
    raise MethodError(f"the {tower} tower has no such list of blocks: choose another rmu.layer or rmu.tower")


def hidden(model: ClipModel, tower: str, name: str, inputs: Tensor) -> Tensor:
    """What a block leaves ``[rows, width]``: of all patches, or of captions up to their padding, token 0."""
    states: list[Tensor] = []
    hook = model.get_submodule(name).register_forward_hook(lambda *call: states.append(call[2]))
    with hook, torch.compiler.set_stance("force_eager"):  # a compiled tower would not see the hook
        getattr(model, f"encode_{tower}")(inputs)
    return states[0][inputs != 0] if tower == "text" else states[0].flatten(0, 1)


def unlearn(ctx: MethodContext[Config]) -> None:
    """Minimise ``MSE(h_F, c u) + a MSE(h_R, h0_R)`` in each tower, u a unit vector drawn once."""
    config, goals = ctx.config, dict[str, tuple[str, Tensor]]()
    for tower in ("image", "text") if config.tower == "both" else (config.tower,):
        name = block(ctx.model, tower, config.layer)
        width = next(ctx.model.get_submodule(name).parameters()).shape[-1]
        u = (torch.rand if config.variant == "published" else torch.randn)(width, generator=ctx.rng)
        goals[tower] = name, (config.steering * u / u.norm()).to(ctx.device)

    def loss(ctx: MethodContext[Config], step: Step) -> dict[str, Tensor]:
        terms = {}
        for tower, (at, goal) in goals.items():
            seen, kept = getattr(step.forget, tower), getattr(step.retain, tower)
            forget, retain = (hidden(ctx.model, tower, at, inputs) for inputs in (seen, kept))
            terms[f"{tower} forgetting"] = mse(forget, goal)
            terms[f"{tower} retention"] = config.retention_weight * mse(retain, hidden(ctx.reference, tower, at, kept))
        return terms

    ctx.fit(loss)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="rmu",
            summary="Steer a layer's hidden states of forget pairs to a random direction; keep those of retain pairs.",
            paper="https://arxiv.org/abs/2403.03218",
            code="https://github.com/locuslab/open-unlearning/blob/d3d7cf9/src/trainer/unlearn/rmu.py",
            departures="Layers of an image and of a text encoder instead of a language model's. All weights up to "
            "the layer train, as in open-unlearning; the paper trains three projections of MLPs only.",
            config=Config.with_defaults(lr=5.92e-4),
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
