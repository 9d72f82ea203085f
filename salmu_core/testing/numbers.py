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
    return float(np.mean(numpy_contrastive_rows(pairs.image, pairs.text, logit_scale)))


def numpy_contrastive_rows(image: np.ndarray | None, text: np.ndarray | None, logit_scale: float) -> np.ndarray:
    """Each pair's share of CLIP's loss ``[b]``, of embeddings ``[b, d]`` under either model."""
    odds = np.exp(logit_scale * unit(image) @ unit(text).T)
    both = [[odds[i, i] / odds[i].sum(), odds[i, i] / odds[:, i].sum()] for i in range(len(odds))]
    rows: np.ndarray = -np.log(both).mean(axis=1)
    return rows


def numpy_divergence(pairs: FixedPairs, logit_scale: float, reference_logit_scale: float) -> float:
    """KL of a batch's softmax from the original's, mean over rows and both directions, entry by entry."""
    own = np.exp(logit_scale * unit(pairs.image) @ unit(pairs.text).T)
    original = np.exp(reference_logit_scale * unit(pairs.reference_image) @ unit(pairs.reference_text).T)
    rows = zip([*original, *original.T], [*own, *own.T], strict=True)
    both = [(p / p.sum(), q / q.sum()) for p, q in rows]
    return float(np.mean([sum(a * np.log(a / b) for a, b in zip(p, q, strict=True)) for p, q in both]))


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
