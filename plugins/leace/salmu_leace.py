"""LEACE of the person: nothing linear can tell who an embedding is of, and nothing changes more than it must.

With x an embedding before it is normalised, z its person as a one-hot vector, and M the second moment of x:

    r(x) = x - W^+ P W x,   W = M^(-1/2),   P the projector onto the columns of W Cov(x, z)

As r is linear, the tower's projection takes it in. All people's mean embeddings are the same then.
"""

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from salmu_core import MethodConfig, MethodContext, MethodError, MethodSpec, PoolName, Search, hookimpl, projection

Tower = Literal["image", "text"]
TOLERANCE = 0.01  #: Singular values of W Cov(x, z) below this share of the largest are taken for 0.
CODE = "https://github.com/EleutherAI/concept-erasure/blob/9f51753/concept_erasure/leace.py"


class Config(MethodConfig):
    """Settings of LEACE."""

    towers: tuple[Tower, ...] = Field(("image",), min_length=1, description="Whose embeddings forget the person.")
    variant: Literal["linear", "centred"] = Field(
        "linear", description="`linear`: what changes least without a bias; `centred`: with one, which is left out."
    )
    share: Annotated[float, Search(0.02, 1, log=True)] = Field(0.108, gt=0, le=1, description="Dimensions that may go.")


def eraser(x: Tensor, people: Tensor, others: Tensor, config: Config) -> tuple[Tensor, int]:
    """A = W^+ P W and P's rank; of embeddings ``[n, d]``, their people ``[n]``, and others ``[m, d]``: M is of all."""
    known = torch.cat([x, others])
    known = known if config.variant == "linear" else known - known.mean(dim=0)
    values, axes = torch.linalg.eigh(known.T @ known / len(known))
    axes, root = axes[:, values > 1e-10 * values[-1]], values[values > 1e-10 * values[-1]].sqrt()
    covariance = (x - x.mean(dim=0)).T @ torch.nn.functional.one_hot(people).to(x) / len(x)
    left, telling, _ = torch.linalg.svd((axes / root).T @ covariance, full_matrices=False)
    rank = min(int((telling > TOLERANCE * telling[0]).sum()), int(config.share * x.shape[1]))
    return (axes * root) @ left[:, :rank] @ left[:, :rank].T @ (axes / root).T, rank


def embedded(ctx: MethodContext[Config], pool: PoolName) -> tuple[list[int], dict[Tower, Tensor]]:
    """Numbers of a set's rows, and by tower their embeddings before they are normalised ``[n, d]``."""
    rows, found = list[int](), {tower: list[Tensor]() for tower in ctx.config.towers}
    for batch in ctx.batches(pool, 64):
        rows += batch.index.tolist()
        for tower, parts in found.items():
            with torch.no_grad():
                encoded = getattr(ctx.reference, f"encode_{tower}")(getattr(batch, tower), normalize=False)
            parts.append(encoded.cpu().double())
    return rows, {tower: torch.cat(parts) for tower, parts in found.items()}


def unlearn(ctx: MethodContext[Config]) -> None:
    """A pass over each set, and one matrix of each tower changed."""
    (rows, forget), (_, retain) = embedded(ctx, "forget"), embedded(ctx, "retain")
    _, people = np.unique([str(ctx.forget.identity_ids[row]) for row in rows], return_inverse=True)
    if not people.any():
        raise MethodError("the forget pairs that were drawn are of one person, who can be told from nobody")
    with ctx.edit() as weights:
        for tower in ctx.config.towers:
            erased, rank = eraser(forget[tower], torch.as_tensor(people), retain[tower], ctx.config)
            ctx.log(f"{tower}_rank", rank)
            matrix = projection(weights, tower)
            matrix -= (matrix.cpu().double() @ erased.T).to(matrix)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    departures = "M is of both sets. The paper's map has a bias, CLIP's projection none: `linear` is the closed form "
    departures += "without one, `centred` leaves it out. At most `share` of the dimensions goes."
    facts = {"name": "leace", "paper": "https://arxiv.org/abs/2306.03819", "code": CODE, "chosen_on": "mini"}
    facts |= {"departures": departures, "summary": "Erase linearly who it is."}
    return [MethodSpec(**facts, tags=("weights",), config=Config, unlearn=unlearn)]
