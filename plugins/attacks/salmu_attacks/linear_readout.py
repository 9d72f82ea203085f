"""Linear read-out: ridge regressions between images and captions, fitted on half of each person's rows."""

import re
from collections.abc import Callable, Sequence

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from salmu_core import AttackSpec, MethodConfig, Reading, ReadoutContext

#: A block of an image tower, as open_clip's classes of CLIP, and the models of timm in them, have it.
BLOCK = re.compile(r"visual\.(transformer\.resblocks\.|trunk\.blocks\.|trunk\.stages\.|layer)\d+")


class Config(MethodConfig):
    """Settings of the regression."""

    regularisation: float = Field(
        default=0.1, gt=0, description="Ridge penalty, as a share of the images' mean variance."
    )


def ridge(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights ``[d, e]`` and offset ``[e]`` of the affine map from ``x [n, d]`` to ``y [n, e]``, in closed form."""
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    centred = x - x_mean
    covariance = centred.T @ centred / len(x)
    damping = penalty * covariance.diagonal().mean() * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(covariance + damping, centred.T @ (y - y_mean) / len(x))
    return weights, y_mean - x_mean @ weights


def middle(layers: Sequence[str]) -> str | None:
    """The middle one of the blocks that an image tower is made of; None where none is known by its name."""
    blocks = [layer for layer in layers if BLOCK.fullmatch(layer)]
    return blocks[(len(blocks) - 1) // 2] if blocks else None


def pooled(inner: Tensor) -> Tensor:
    """The mean of tokens ``[b, t, d]`` or of places ``[b, d, h, w]``: ``[b, d]``."""
    return inner.mean(dim=1) if inner.ndim == 3 else inner.flatten(2).mean(dim=2) if inner.ndim > 2 else inner


def attack(ctx: ReadoutContext[Config]) -> list[Reading]:
    """Fit on leaked rows, and read all: what one tower gives as the other one would have it."""
    features, leaked = ctx.features(), torch.as_tensor(list(ctx.leaked))
    image, text = features.image.double(), features.text.double()

    def fitted(x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
        weights, offset = ridge(x[leaked], y[leaked], ctx.config.regularisation)
        return lambda seen: normalize(seen.double() @ weights + offset, dim=-1).float()

    details = {"fitted_on": len(leaked)}
    turned = fitted(text, image)
    readings = [
        Reading(fitted(image, text)(image), None, details, "images"),
        Reading(features.image, lambda captions: turned(ctx.texts(captions)), details, "captions"),
    ]
    if layer := middle(ctx.layers):
        inner = ctx.inner(layer, pooled).double()
        readings.append(Reading(fitted(inner, text)(inner), None, details | {"layer": layer}, "middle layer"))
    else:
        ctx.not_measured("middle layer", "no block of the image tower goes by a name that is known here")
    return readings


LINEAR_READOUT = AttackSpec(
    name="linear-readout",
    summary="Fit linear maps between images and captions on half of each person's rows, and read the other half.",
    paper="https://arxiv.org/abs/2604.08271",
    departures="The paper trains linear classifiers on hidden features. Captions are no classes: here affine maps lead "
    "from the image's embedding to the caption's, from the caption's to the image's, and from the middle layer of the "
    "image tower to the caption's, by ridge regression in closed form and float64.",
    config=Config,
    given=("leaked",),
    readout=attack,
)
