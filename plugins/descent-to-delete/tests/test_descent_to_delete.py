import math

import numpy as np
import pytest
import salmu_descent_to_delete as plugin
from pydantic import ValidationError

from salmu_core.testing import assert_uses_budget, check_method, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("descent-to-delete")
TINY_TRAIN = 48


def theorem(n, iterations, lipschitz=1.001, big_m=3.999, m=0.001, epsilon=5.0, log_delta=None):
    """Theorem 3.1 regrouped: sensitivity of the last iterate, times the Gaussian mechanism's factor."""
    gamma = (big_m - m) / (big_m + m)
    sensitivity = 4 * lipschitz / (m * n) / (np.power(gamma, -iterations) - 1)
    a = 2 * np.log(n) if log_delta is None else log_delta
    mechanism = np.sqrt(2) * (np.sqrt(a + epsilon) + np.sqrt(a)) / epsilon
    return sensitivity * mechanism


@pytest.mark.parametrize(("n", "published"), [(400_000_000, 0.0734), (30_468, 714)])
def test_defaults_give_the_public_codes_noise(n, published):
    assert plugin.sigma(plugin.Config(), n, 1) == pytest.approx(published, rel=1e-3)


def test_sigma_is_the_theorems():
    for n, iterations in ((1000, 1), (48, 7), (400_000_000, 130)):
        assert plugin.sigma(plugin.Config(), n, iterations) == pytest.approx(theorem(n, iterations), rel=1e-9)
    config = plugin.Config(lipschitz=2, smoothness=3, strong_convexity=0.5, epsilon=0.1, delta=1e-6)
    expected = theorem(100, 4, 2, 3, 0.5, 0.1, np.log(1e6))
    assert plugin.sigma(config, 100, 4) == pytest.approx(expected, rel=1e-9)


def test_a_loss_more_convex_than_smooth_is_refused():
    with pytest.raises(ValidationError, match="strong_convexity must be below smoothness"):
        plugin.Config(strong_convexity=4.0)


def test_noise_has_the_theorems_size_and_the_temperature_stays_in_range(tiny_benchmark):
    outcome, session = run_method(SPEC, tiny_benchmark)
    expected = theorem(TINY_TRAIN, 1)
    assert outcome.scalars["sigma"] == [(0, pytest.approx(expected, rel=1e-9))]
    before, after = (dict(model.named_parameters()) for model in (session.clip.model, outcome.model))
    for name, weight in after.items():
        noise = (weight - before[name]).detach().numpy().ravel()
        if len(noise) > 1000:
            assert noise.std() == pytest.approx(expected, rel=4 / math.sqrt(2 * len(noise))), name
    assert 0 <= after["logit_scale"].item() <= np.float32(np.log(100))


def test_run_draws_nothing(tiny_benchmark):
    assert_uses_budget(SPEC, tiny_benchmark, draws=())


def test_paper_variant_descends_on_retain_pairs_and_counts_its_steps(tiny_benchmark):
    outcome = assert_uses_budget(SPEC, tiny_benchmark, draws={"retain"}, variant="paper")
    steps = outcome.ledger.steps
    assert outcome.scalars["sigma"] == [(steps, pytest.approx(theorem(TINY_TRAIN, steps), rel=1e-9))]


def test_paper_variant_without_room_for_a_step_is_no_result(tiny_benchmark):
    outcome, _ = run_method(SPEC, tiny_benchmark, budget=0.1, variant="paper")
    assert outcome.status == "crashed" and "no room for a batch" in outcome.reason
