"""A loss written out in numpy, to hold a method's against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from salmu_core.contract.config import MethodConfig
from salmu_core.losses import total
from salmu_core.testing.fixed import FixedPairs, fixed_step

if TYPE_CHECKING:
    from salmu_core.contract.context import Loss


def random_pairs(seed: int, pairs: int = 5, dimensions: int = 8) -> FixedPairs:
    """Random embeddings of a batch, under a model and an original; not normalised."""
    return FixedPairs(*np.random.default_rng(seed).normal(size=(4, pairs, dimensions)))


def unit(x: np.ndarray | None) -> np.ndarray:
    """Rows divided by their length."""
    assert x is not None
    normalised: np.ndarray = x / np.sqrt((x * x).sum(axis=1, keepdims=True))
    return normalised


def numpy_contrastive(pairs: FixedPairs, logit_scale: float) -> float:
    """CLIP's loss spelled out entry by entry, to hold a method's against."""
    odds = np.exp(logit_scale * unit(pairs.image) @ unit(pairs.text).T)
    each = [
        -np.log(odds[i, i] / odds[i].sum()) / 2 - np.log(odds[i, i] / odds[:, i].sum()) / 2 for i in range(len(odds))
    ]
    return float(np.mean(each))


def loss_values(
    loss: Loss,
    config: MethodConfig,
    forget: FixedPairs | None = None,
    retain: FixedPairs | None = None,
    *,
    permutation: np.ndarray | None = None,
    logit_scale: float = 1.0,
    reference_logit_scale: float = 1.0,
) -> dict[str, float]:
    """Value of a loss (as ``loss``) and of its named terms on given embeddings; see `fixed_step`."""
    scales = {"logit_scale": logit_scale, "reference_logit_scale": reference_logit_scale}
    ctx, step = fixed_step(config, forget, retain, permutation=permutation, **scales)
    terms = loss(ctx, step)
    named = terms if isinstance(terms, Mapping) else {}
    return {"loss": total(terms).item()} | {name: term.item() for name, term in named.items()}
