"""ACS: whether a probe can tell an image's own caption from somebody else's by the pair's cosine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from salmu_core import MetricContext, MetricResult, PerRow
from salmu_protocol_metrics.arrays import SEED, Index, numbered, pair_cosines, random_order


def acs(ctx: MetricContext) -> MetricResult:
    """Accuracy on the rows held out; each counts twice, with its own caption and with a shuffled one."""
    pairs = ctx.embeddings("forget")
    source = np.random.PCG64(SEED)
    shuffled = derangement(ctx.captions("forget"), source)
    order = random_order(source, len(shuffled))
    train, held_out = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    cosines = np.stack(
        [
            pair_cosines(pairs.image, pairs.text[shuffled]),
            pair_cosines(pairs.image, pairs.text),
        ],
        axis=1,
    )
    truth = np.broadcast_to([False, True], cosines.shape)
    # Solved to the optimum, so that neither a solver's path nor its version shows in the value.
    probe = make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky", tol=1e-10))
    probe.fit(cosines[train].reshape(-1, 1), truth[train].ravel())
    predicted = probe.predict(cosines[held_out].reshape(-1, 1)).reshape(-1, 2)
    correct = (predicted == truth[held_out]).mean(axis=1)
    return MetricResult(
        per_row=PerRow("forget", correct, held_out),
        chance=0.5,
        details={"train_rows": len(train), "held_out_rows": len(held_out), "seed": SEED},
    )


def derangement(captions: Sequence[str], source: np.random.PCG64) -> Index:
    """A permutation of the rows after which none has a caption of the same text as before.

    Rows of equal text are put side by side, in random order within and among themselves, and all are moved
    on by the size of the largest such group.

    Raises:
        ValueError: There is none: one text stands on more than half of the rows.
    """
    text = numbered(captions)
    counts = np.bincount(text)
    if 2 * counts.max() > len(captions):
        raise ValueError("captions can't be shuffled: one text stands on more than half of the rows")
    place = np.argsort(random_order(source, len(counts)))
    rows = random_order(source, len(captions))
    ring = rows[np.argsort(place[text[rows]], kind="stable")]
    permutation = np.empty_like(ring)
    permutation[ring] = np.roll(ring, -counts.max())
    return permutation
