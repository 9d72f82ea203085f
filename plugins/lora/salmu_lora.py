"""Low-rank adapters: minimise any loss over updates of small rank alone.

W <- W + B A,  A [r, columns] Gaussian and B [rows, r] zero at the start; both minimise the loss, W does not.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from salmu_core import MethodContext, MethodSpec, Search, WrapperConfig, hookimpl


class Config(WrapperConfig):
    """Settings of the adapters."""

    rank: int = Field(default=4, ge=1, description="r, the rank of every update.")
    where: Literal["all", "attention", "mlp", "image", "text"] = Field(
        "all", description="Matrices that are adapted: of all layers, of a kind of layer, or of a tower."
    )
    lr_factor: Annotated[float, Search(1, 100, log=True)] = Field(
        default=22.7, gt=0, description="Its learning rate over that of the wrapped method."
    )


def adapted(name: str, where: str) -> bool:
    """Whether a matrix, by its name in the model, is among those of ``Config.where``."""
    image = name.startswith("visual.")
    return {"all": True, "attention": ".attn." in name, "mlp": ".mlp." in name, "image": image, "text": not image}[
        where
    ]


def unlearn(ctx: MethodContext[Config]) -> None:
    """Adapt, and merge."""
    config, wrapped = ctx.config, ctx.config.wrapped
    faster = wrapped.config.model_copy(update={"lr": config.lr_factor * wrapped.config.lr})
    with ctx.adapters(config.rank, lambda name: adapted(name, config.where)):
        ctx.fit(wrapped.loss, config=faster)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="lora",
            summary="Minimise another method's loss in low-rank adapters, which are merged in the end.",
            paper="https://arxiv.org/abs/2106.09685",
            departures="Published for language models and new tasks. The factor alpha / r is 1: the learning rate, a "
            "multiple of the wrapped method's, does its work. All matrices of both towers are adapted by "
            "default, not the attention's alone.",
            config=Config,
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
