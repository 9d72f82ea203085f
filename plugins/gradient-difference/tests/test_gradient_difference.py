import pytest
import salmu_gradient_difference as plugin

from salmu_core.testing import (
    assert_uses_budget,
    check_method,
    loss_values,
    numpy_contrastive,
    numpy_divergence,
    random_pairs,
)

(SPEC,) = plugin.salmu_methods()
FORGET, RETAIN = random_pairs(1), random_pairs(2)

test_conformance = check_method("gradient-difference")


def kept(variant):
    return numpy_contrastive(RETAIN, 7.0) if variant == "retain" else numpy_divergence(RETAIN, 7.0, 5.0)


@pytest.mark.parametrize("variant", ["retain", "kl"])
@pytest.mark.parametrize(("g", "a"), [(1.0, 1.0), (2.0, 0.5)])
def test_loss_ascends_on_forget_pairs_and_keeps_retain_pairs(variant, g, a):
    config = plugin.Config(variant=variant, forgetting_weight=g, retention_weight=a)
    values = loss_values(plugin.loss, config, FORGET, RETAIN, logit_scale=7.0, reference_logit_scale=5.0)
    terms = {"forgetting": -g * numpy_contrastive(FORGET, 7.0), "retention": a * kept(variant)}
    assert values == pytest.approx({"loss": sum(terms.values()), **terms}, rel=1e-9)


@pytest.mark.parametrize("variant", ["retain", "kl"])
def test_run(tiny_benchmark, variant):
    outcome = assert_uses_budget(SPEC, tiny_benchmark, draws={"forget", "retain"}, variant=variant)
    first, last = outcome.scalars["forgetting"][0][1], outcome.scalars["forgetting"][-1][1]
    assert last < first
