from types import SimpleNamespace

import numpy as np
import pytest
import salmu_gu as plugin
import torch

from salmu_core import WrapperConfig
from salmu_core.plugins.zoo import discover
from salmu_core.testing import check_method, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("gu")


def rejected(push, keep, scale=None):
    """As the method asks for it."""
    push, keep, scale = (None if part is None else {"w": torch.as_tensor(part)} for part in (push, keep, scale))
    return plugin.rejected(push, [keep], scope="parameter", divisors=scale)["w"]


def test_what_is_left_is_orthogonal_in_the_metric_of_the_optimizer():
    rng = np.random.default_rng(1)
    push, keep, divisor = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.uniform(0.1, 9, size=(3, 4))
    for scale in (divisor, np.ones((3, 4))):
        left = rejected(push, keep, scale).numpy()
        step = left / scale  # what Adam makes of it
        assert abs((keep * step).sum()) < 1e-12, "to first order it changes nothing of what is kept"
        expected = push - (keep * push / scale).sum() / (keep * keep / scale).sum() * keep
        np.testing.assert_allclose(left, expected, rtol=1e-12)


def test_nothing_is_taken_where_nothing_is_kept_and_nothing_is_left_of_the_same():
    push = torch.randn(5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rejected(push, torch.zeros(5)), push)
    assert not rejected(push, 3 * push).any()


def test_the_divisor_is_adams():
    inner = discover().methods["cliperase"].spec
    config = WrapperConfig(settings={"beta2": 0.9, "eps": 1e-3}).around(inner)
    ctx, weight = SimpleNamespace(config=config, state={}), torch.nn.Parameter(torch.zeros(6, dtype=torch.float64))
    adam = torch.optim.Adam([weight], lr=0.5, betas=(0.0, 0.9), eps=1e-3)
    for gradient in np.random.default_rng(2).normal(size=(4, 6)):
        before, weight.grad = weight.detach().clone(), torch.tensor(gradient)
        adam.step()
        divisor = plugin.divisor(ctx, "w", torch.tensor(gradient)).numpy()
        np.testing.assert_allclose((before - weight.detach()).numpy(), 0.5 * gradient / divisor, rtol=1e-6)


def test_rows_that_are_looked_up_later_had_no_gradient_before():
    config = WrapperConfig().around(discover().methods["cliperase"].spec)
    late, whole = (SimpleNamespace(config=config, state={}) for _ in range(2))
    first, second = np.random.default_rng(3).normal(size=(2, 5, 4))
    first[3:] = 0
    plugin.divisor(late, "w", torch.tensor(first[:3]))
    plugin.divisor(whole, "w", torch.tensor(first))
    found, expected = (plugin.divisor(ctx, "w", torch.tensor(second)) for ctx in (late, whole))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("metric", ["adam", "plain"])
def test_a_run_takes_two_gradients_a_step_and_leaves_nothing_behind(tiny_benchmark, metric):
    settings = {"batch_size": 4}
    outcome, _ = run_method(SPEC, tiny_benchmark, loss="direct-similarity", metric=metric, settings=settings)
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    assert outcome.ledger.backward_passes == 2 * outcome.ledger.steps and not outcome.state
    assert outcome.ledger.retain_samples == outcome.ledger.forget_samples > 0
