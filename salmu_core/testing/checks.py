"""What the tests of methods share: a loss written out in numpy, and a run that must be sound."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate import Accelerator

from salmu_core.config import MethodConfig, TrainingConfig
from salmu_core.losses import total
from salmu_core.pairs import PoolName
from salmu_core.runner import Outcome, run_one
from salmu_core.specs import MethodSpec
from salmu_core.testing.fixed import FixedPairs, fixed_step
from salmu_core.testing.runs import run_method
from salmu_core.weights import fingerprint

if TYPE_CHECKING:
    from salmu_core.specs import Loss

#: Not a whole number, so that a budget that is overdrawn or left lying shows.
BUDGET = 1.9
BATCH = 4


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
) -> dict[str, float]:
    """Value of a loss (as ``loss``) and of its named terms on given embeddings; see `fixed_step`."""
    ctx, step = fixed_step(config, forget, retain, permutation=permutation, logit_scale=logit_scale)
    terms = loss(ctx, step)
    named = terms if isinstance(terms, Mapping) else {}
    return {"loss": total(terms).item()} | {name: term.item() for name, term in named.items()}


def assert_sound_run(spec: MethodSpec, benchmark: Path, *, draws: Collection[PoolName], **config: Any) -> Outcome:
    """Run a method three times by hand and check what must hold of any that uses its budget up.

    The runs are valid; the weights change, to the same bytes for the same seed, whatever ran in between, and
    to others for another; from the sets named in ``draws`` as many whole batches are drawn as the budget
    allows, from others none.

    Args:
        spec: The method.
        benchmark: A small benchmark folder.
        draws: Sets the method draws from.
        config: Fields of the method's configuration; ``batch_size`` is 4 unless given.

    Returns:
        What came of the first run.
    """
    if issubclass(spec.config, TrainingConfig):
        config = {"batch_size": BATCH, **config}
    first, session = run_method(spec, benchmark, budget=BUDGET, seed=0, **config)
    other, again = (
        run_one(spec, spec.config(**config), BUDGET, seed, session, Accelerator(cpu=True)) for seed in (1, 0)
    )
    for outcome in (first, other, again):
        assert outcome.status == "valid", outcome.traceback or outcome.reason
        assert fingerprint(outcome.model) != fingerprint(session.clip.model), "no weight changed"
        cap = int(BUDGET * len(session.pools["forget"]))
        size = config.get("batch_size", BATCH)
        drawn = {"forget": outcome.ledger.forget_samples, "retain": outcome.ledger.retain_samples}
        expected = {name: cap // size * size if name in draws else 0 for name in drawn}
        assert drawn == expected, f"{drawn} pairs were drawn; {expected} were expected"
        assert outcome.ledger.steps == (cap // size if draws else 0)
    seed_0 = fingerprint(first.model)
    assert fingerprint(again.model) == seed_0, "the same seed gave other weights"
    assert fingerprint(other.model) != seed_0, "another seed gave the same weights"
    return first
