import pytest
import salmu_negative_gradient as plugin

from salmu_core.testing import (
    assert_uses_budget,
    check_method,
    fixed_step,
    loss_values,
    numpy_contrastive,
    random_pairs,
)

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("negative-gradient")


def test_loss_is_minus_the_contrastive_loss_of_forget_pairs():
    forget = random_pairs(1)
    values = loss_values(plugin.loss, SPEC.config(), forget, logit_scale=7.0)
    assert values["loss"] == pytest.approx(-numpy_contrastive(forget, 7.0), rel=1e-9)


def test_a_step_down_the_loss_drives_pairs_apart():
    ctx, step = fixed_step(SPEC.config(), random_pairs(2), logit_scale=7.0)
    plugin.loss(ctx, step).backward()
    before = ctx.features(step.forget).pair_similarity.mean()
    step.forget.image.data -= 0.1 * step.forget.image.grad
    assert ctx.features(step.forget).pair_similarity.mean() < before


def test_run(tiny_benchmark):
    assert_uses_budget(SPEC, tiny_benchmark, draws={"forget"})
