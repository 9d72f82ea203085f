import pytest
import salmu_finetuning as plugin

from salmu_core.testing import (
    assert_uses_budget,
    check_method,
    loss_values,
    numpy_contrastive,
    random_pairs,
)

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("finetuning")


def test_loss_is_the_contrastive_loss_of_retain_pairs():
    retain = random_pairs(1)
    values = loss_values(plugin.loss, SPEC.config(), retain=retain, logit_scale=7.0)
    assert values["loss"] == pytest.approx(numpy_contrastive(retain, 7.0), rel=1e-9)


def test_run_draws_no_forget_pairs(tiny_benchmark):
    assert_uses_budget(SPEC, tiny_benchmark, draws={"retain"})
