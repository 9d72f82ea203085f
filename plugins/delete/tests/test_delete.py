import numpy as np
import pytest
import salmu_delete as plugin

from salmu_core.losses import total
from salmu_core.testing import (
    FixedPairs,
    assert_uses_budget,
    check_method,
    fixed_step,
    loss_values,
    random_pairs,
    unit,
)

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("delete")


def test_salmubench_loss_has_the_two_terms():
    forget, retain = random_pairs(1), random_pairs(2)
    s_f = unit(forget.image) @ unit(forget.text).T
    s_r = unit(retain.image) @ unit(retain.text).T
    s_r_0 = unit(retain.reference_image) @ unit(retain.reference_text).T
    forgetting = (s_f**2).mean() + (s_f.T**2).mean()
    retention = ((s_r - s_r_0) ** 2).mean() + ((s_r.T - s_r_0.T) ** 2).mean()
    weighted = plugin.Config(forgetting_weight=2, retention_weight=0.5)
    for config, a, b in ((plugin.Config(retention_weight=1), 1, 1), (weighted, 2, 0.5)):
        values = loss_values(plugin.loss, config, forget, retain, logit_scale=7.0)
        terms = {"forgetting": a * forgetting, "retention": b * retention}
        assert values == pytest.approx({"loss": sum(terms.values()), **terms}, rel=1e-9)


def paper_step(forget, logit_scale, reference_scale):
    config = plugin.Config(variant="paper")
    return fixed_step(config, forget, logit_scale=logit_scale, reference_logit_scale=reference_scale)


def divergence(own, original):
    """Mean over rows of KL(original without its own entry || own), sums written out."""
    rows = []
    for i in range(len(own)):
        q = np.exp(own[i]) / np.exp(own[i]).sum()
        others = [j for j in range(len(own)) if j != i]
        p = np.exp(original[i, others]) / np.exp(original[i, others]).sum()
        rows.append(sum(p[k] * np.log(p[k] / q[j]) for k, j in enumerate(others)))
    return np.mean(rows)


def test_paper_loss_is_mask_distillation_on_forget_pairs_in_both_directions():
    forget = random_pairs(1)
    own = 7.0 * unit(forget.image) @ unit(forget.text).T
    original = 5.0 * unit(forget.reference_image) @ unit(forget.reference_text).T
    expected = (divergence(own, original) + divergence(own.T, original.T)) / 2
    value = total(plugin.loss(*paper_step(forget, 7.0, 5.0))).item()
    assert value == pytest.approx(expected, rel=1e-9)


def test_paper_loss_pushes_own_captions_away_and_is_least_without_them():
    far = FixedPairs(np.eye(4), np.ones((4, 4)) - 3 * np.eye(4), np.eye(4), np.eye(4))
    assert total(plugin.loss(*paper_step(far, 50.0, 1.0))).item() == pytest.approx(0, abs=1e-9)
    near = FixedPairs(np.eye(4), np.eye(4) + 0.1, np.eye(4), np.eye(4))
    ctx, step = paper_step(near, 5.0, 5.0)
    total(plugin.loss(ctx, step)).backward()
    before = ctx.features(step.forget).pair_similarity.mean()
    step.forget.text.data -= 0.1 * step.forget.text.grad
    assert ctx.features(step.forget).pair_similarity.mean() < before


def test_run(tiny_benchmark):
    assert_uses_budget(SPEC, tiny_benchmark, draws={"forget", "retain"})


def test_run_of_the_paper_variant_draws_no_retain_pairs(tiny_benchmark):
    assert_uses_budget(SPEC, tiny_benchmark, draws={"forget"}, variant="paper")
