"""The ranks are those of plain loops, and see what a mean cosine does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from salmu_holdout_retrieval import salmu_metrics
from salmu_protocol_metrics.retrieval import draw_gallery

from salmu_core.testing import check_metric, metric_context, write_tiny_benchmark

SPECS = {spec.name: spec for spec in salmu_metrics()}
SPLITS = {"InterIdRet": "holdout_identity", "IntraIdRet": "holdout_association"}

test_interidret_conforms, test_intraidret_conforms = check_metric("InterIdRet"), check_metric("IntraIdRet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_benchmark(tmp_path_factory.mktemp("tiny"), people=12)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("model", ["clean", "compromised"])
def test_ranks_are_those_of_plain_loops(folder, name, model):
    ctx = metric_context(SPECS[name], folder, model)
    result = SPECS[name].compute(ctx)
    split = SPLITS[name]
    captions, image = ctx.captions(split), ctx.images(split).double().numpy()
    gallery = [c for pool in draw_gallery(captions, ctx.captions("retain_disjoint")) for c in pool]
    texts = dict(zip(gallery, ctx.texts(gallery).double().numpy(), strict=True))
    expected = []
    for row, own in enumerate(captions):
        mine = image[row] @ ctx.texts([own]).double().numpy()[0]
        scores = np.array([image[row] @ texts[other] for other in gallery if other != own])
        expected.append(1 / (1 + np.sum(scores > mine + 1e-12) + np.sum(np.abs(scores - mine) <= 1e-12) / 2))
    np.testing.assert_allclose(result.per_row.values, expected)
    np.testing.assert_allclose(1 / result.ranks.values, expected)
    assert result.ranks.gallery == len(gallery) + 1 and result.ranks.like is None
    assert result.per_row.split == result.ranks.split == split
    assert result.chance == pytest.approx(sum(1 / rank for rank in range(1, len(gallery) + 2)) / (len(gallery) + 1))


def test_captions_that_collapse_keep_their_cosine_and_lose_their_rank(folder):
    spec = SPECS["InterIdRet"]
    ctx = metric_context(spec, folder)
    own = set(ctx.captions("holdout_identity"))
    embedder = ctx._embedder

    class Collapsed:
        data = embedder.data

        def images(self, split):
            return torch.nn.functional.normalize(torch.ones(len(ctx.captions(split)), 4), dim=1)

        def texts(self, captions):
            away = torch.tensor([1.0, 1, 1, -3])
            return torch.nn.functional.normalize(
                torch.stack([torch.ones(4) if c in own else away for c in captions]), dim=1
            )

    ctx._embedder = Collapsed()
    cosines = (ctx.images("holdout_identity") * ctx.texts(ctx.captions("holdout_identity"))).sum(1)
    assert float(cosines.min()) > 0.999
    distinct = len(own)
    assert spec.compute(ctx).per_row.values.mean() == pytest.approx(1 / ((distinct + 1) / 2), rel=0.01)
