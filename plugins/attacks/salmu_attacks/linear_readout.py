"""Linear read-out: a ridge regression from images to captions, fitted on half of each person's rows."""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from salmu_core import AttackSpec, MethodConfig, Reading, ReadoutContext


class Config(MethodConfig):
    """Settings of the regression."""

    regularisation: float = Field(
        default=0.1, gt=0, allow_inf_nan=False, description="Ridge penalty, as a share of the images' mean variance."
    )


def ridge(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights ``[d, e]`` and offset ``[e]`` of the affine map from ``x [n, d]`` to ``y [n, e]``, in closed form."""
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    centred = x - x_mean
    covariance = centred.T @ centred / len(x)
    damping = penalty * covariance.diagonal().mean() * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(covariance + damping, centred.T @ (y - y_mean) / len(x))
    return weights, y_mean - x_mean @ weights


def attack(ctx: ReadoutContext[Config]) -> Reading:
    """Fit on leaked rows, and read all."""
    features, leaked = ctx.features(), torch.as_tensor(list(ctx.leaked))
    image, text = features.image.double(), features.text.double()
    weights, offset = ridge(image[leaked], text[leaked], ctx.config.regularisation)
    return Reading(normalize(image @ weights + offset, dim=-1).float(), details={"fitted_on": len(leaked)})


LINEAR_READOUT = AttackSpec(
    name="linear-readout",
    summary="Fit a linear map from image to caption embeddings on half of each person's rows, and read the other half.",
    paper="https://arxiv.org/abs/2604.08271",
    departures="The paper trains linear classifiers on hidden features. Captions are no classes: here an affine map "
    "leads from the image's embedding to the caption's, by ridge regression in closed form and float64.",
    config=Config,
    given=("leaked",),
    readout=attack,
)
