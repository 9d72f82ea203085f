import numpy as np
import pytest
import salmu_npo as plugin

from salmu_core.testing import (
    FixedPairs,
    assert_uses_budget,
    check_method,
    loss_values,
    numpy_contrastive,
    numpy_contrastive_rows,
    numpy_divergence,
    random_pairs,
)

(SPEC,) = plugin.salmu_methods()
FORGET, RETAIN = random_pairs(1), random_pairs(2)
SCALES = {"logit_scale": 7.0, "reference_logit_scale": 5.0}

test_conformance = check_method("npo")


def preference(beta):
    """``-(2 / b) log sigmoid(b (L - L0))``, as the paper writes it, of pairs instead of answers."""
    now = numpy_contrastive_rows(FORGET.image, FORGET.text, 7.0)
    before = numpy_contrastive_rows(FORGET.reference_image, FORGET.reference_text, 5.0)
    return np.mean(-2 / beta * np.log(1 / (1 + np.exp(-beta * (now - before)))))


@pytest.mark.parametrize("variant", ["retain", "kl"])
@pytest.mark.parametrize(("beta", "w", "a"), [(0.1, 1.0, 1.0), (3.0, 2.0, 0.5)])
def test_loss_is_the_papers_with_a_pairs_contrastive_loss(variant, beta, w, a):
    config = plugin.Config(variant=variant, beta=beta, forgetting_weight=w, retention_weight=a)
    values = loss_values(plugin.loss, config, FORGET, RETAIN, **SCALES)
    kept = numpy_contrastive(RETAIN, 7.0) if variant == "retain" else numpy_divergence(RETAIN, 7.0, 5.0)
    terms = {"forgetting": w * preference(beta), "retention": a * kept}
    assert values == pytest.approx({"loss": sum(terms.values()), **terms}, rel=1e-9)


def test_forgotten_pairs_are_left_alone_and_the_loss_is_bounded():
    """Pairs as far apart as can be, which the original had together: nothing is left to gain."""
    apart = FixedPairs(np.eye(4), np.ones((4, 4)) - 5 * np.eye(4), np.eye(4), np.eye(4))
    config = plugin.Config(beta=1.0)
    values = loss_values(plugin.loss, config, apart, RETAIN, logit_scale=100.0, reference_logit_scale=100.0)
    assert 0 <= values["forgetting"] < 1e-6


def test_a_small_beta_is_gradient_ascent():
    """In the limit, ``(2 / b) log 2 - mean (L - L0)``."""
    values = loss_values(plugin.loss, plugin.Config(beta=1e-4), FORGET, RETAIN, **SCALES)
    now = numpy_contrastive(FORGET, 7.0)
    before = numpy_contrastive_rows(FORGET.reference_image, FORGET.reference_text, 5.0).mean()
    assert values["forgetting"] - 2e4 * np.log(2) == pytest.approx(before - now, abs=1e-3)


@pytest.mark.parametrize("variant", ["retain", "kl"])
def test_run(tiny_benchmark, variant):
    outcome = assert_uses_budget(
        SPEC, tiny_benchmark, draws={"forget", "retain"}, variant=variant, retention_weight=1.0
    )
    first, last = outcome.scalars["forgetting"][0][1], outcome.scalars["forgetting"][-1][1]
    assert last < first
