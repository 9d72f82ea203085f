import pytest
import salmu_cliperase as plugin

from salmu_core.testing import assert_uses_budget, check_method, loss_values, random_pairs, unit

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("cliperase")


def expected(forget, retain, weights=(1.0, 1.0, 1.0)):
    """The three terms, the similarity ones summed over image-to-text and text-to-image."""
    image, text = unit(retain.image), unit(retain.text)
    image_0, text_0 = unit(retain.reference_image), unit(retain.reference_text)
    s_f, s_r, s_r_0 = unit(forget.image) @ unit(forget.text).T, image @ text.T, image_0 @ text_0.T
    terms = {
        "forgetting": weights[0] * ((s_f**2).mean() + (s_f.T**2).mean()),
        "retention": weights[1] * (((s_r - s_r_0) ** 2).mean() + ((s_r.T - s_r_0.T) ** 2).mean()),
        "consistency": weights[2] * (((image - image_0) ** 2).mean() + ((text - text_0) ** 2).mean()),
    }
    return {"loss": sum(terms.values()), **terms}


def test_loss_has_the_three_terms():
    forget, retain = random_pairs(1), random_pairs(2)
    config = plugin.Config(retention_weight=1, consistency_weight=1)
    values = loss_values(plugin.loss, config, forget, retain, logit_scale=7.0)
    assert values == pytest.approx(expected(forget, retain), rel=1e-9)


def test_weights_scale_their_terms():
    forget, retain = random_pairs(1), random_pairs(2)
    config = plugin.Config(forgetting_weight=2, retention_weight=0.5, consistency_weight=3)
    values = loss_values(plugin.loss, config, forget, retain)
    assert values == pytest.approx(expected(forget, retain, (2, 0.5, 3)), rel=1e-9)


def test_run(tiny_benchmark):
    outcome = assert_uses_budget(SPEC, tiny_benchmark, draws={"forget", "retain"})
    first, last = outcome.scalars["forgetting"][0][1], outcome.scalars["forgetting"][-1][1]
    assert last < first
