"""The mathematics methods share, against scipy's."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr, softmax

from salmu_core.contract.config import TrainingConfig
from salmu_core.contract.features import Features
from salmu_core.losses import contrastive, contrastive_rows, divergence, original_divergence, retention
from salmu_core.testing import fixed_step, numpy_contrastive_rows, numpy_divergence, random_pairs, unit

PAIRS = random_pairs(3)


def features(pairs):
    return Features(torch.tensor(unit(pairs.image)), torch.tensor(unit(pairs.text)))


def kl(original, own):
    """Mean over rows and both directions."""
    sides = [
        rel_entr(softmax(a, axis=1), softmax(b, axis=1)).sum(axis=1) for a, b in ((original, own), (original.T, own.T))
    ]
    return np.mean(sides)


def logits(scale, image, text):
    return scale * unit(image) @ unit(text).T


def test_rows_are_negative_log_likelihoods_and_their_mean_is_the_loss():
    own = logits(7.0, PAIRS.image, PAIRS.text)
    expected = -(np.diag(log_softmax(own, axis=1)) + np.diag(log_softmax(own, axis=0))) / 2
    rows = contrastive_rows(features(PAIRS), torch.tensor(7.0))
    np.testing.assert_allclose(rows.numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(numpy_contrastive_rows(PAIRS.image, PAIRS.text, 7.0), expected, rtol=1e-12)
    assert contrastive(features(PAIRS), torch.tensor(7.0)).item() == pytest.approx(expected.mean(), rel=1e-12)


def test_divergence_is_that_of_the_model_from_the_original_in_both_directions():
    own, original = np.random.default_rng(0).normal(size=(2, 6, 6)) * 3
    found = divergence(torch.tensor(own), torch.tensor(original)).item()
    assert found == pytest.approx(kl(original, own), rel=1e-12) and found != pytest.approx(kl(own, original), rel=0.01)
    assert divergence(torch.tensor(own), torch.tensor(own)).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_batch_is_compared_with_the_original_each_at_its_own_scale(temperature):
    ctx, step = fixed_step(TrainingConfig(), retain=PAIRS, logit_scale=7.0, reference_logit_scale=5.0)
    found = original_divergence(ctx, step.retain, ctx.features(step.retain), temperature).item()
    own = logits(7.0 / temperature, PAIRS.image, PAIRS.text)
    original = logits(5.0 / temperature, PAIRS.reference_image, PAIRS.reference_text)
    assert found == pytest.approx(temperature**2 * kl(original, own), rel=1e-9)
    by_hand = numpy_divergence(PAIRS, 7.0 / temperature, 5.0 / temperature)
    assert by_hand == pytest.approx(kl(original, own), rel=1e-9)


def test_what_keeps_retain_pairs_is_their_loss_or_their_divergence():
    ctx, step = fixed_step(TrainingConfig(), retain=PAIRS, logit_scale=7.0, reference_logit_scale=5.0)
    kept = {kind: retention(ctx, step, ctx.features(step.retain), kind).item() for kind in ("retain", "kl")}
    rows = numpy_contrastive_rows(PAIRS.image, PAIRS.text, 7.0)
    assert kept == pytest.approx({"retain": rows.mean(), "kl": numpy_divergence(PAIRS, 7.0, 5.0)}, rel=1e-9)
