import numpy as np
import pytest
import salmu_vlunlearn as plugin

from salmu_core.testing import (
    FixedPairs,
    assert_uses_budget,
    check_method,
    loss_values,
    random_pairs,
    unit,
)

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("vlunlearn")
ORDER = np.array([2, 0, 3, 4, 1])


def expected(forget, retain, weights=(1.0, 1.0, 1.0)):
    """The three terms; the original embeds each forget image beside the captions in ORDER."""
    image, text = unit(retain.image), unit(retain.text)
    image_0, text_0 = unit(retain.reference_image), unit(retain.reference_text)
    s_f = unit(forget.image) @ unit(forget.text).T
    wrong = unit(forget.reference_image) @ unit(forget.reference_text[ORDER]).T
    fused, fused_0 = unit((image + text) / 2), unit((image_0 + text_0) / 2)
    terms = {
        "decoupling": weights[0] * (((s_f - wrong) ** 2).mean() + ((s_f.T - wrong.T) ** 2).mean()),
        "multimodal": weights[1] * ((fused - fused_0) ** 2).mean(),
        "unimodal": weights[2] * (((image - image_0) ** 2).mean() + ((text - text_0) ** 2).mean()),
    }
    return {"loss": sum(terms.values()), **terms}


def test_loss_has_the_three_terms():
    forget, retain = random_pairs(1), random_pairs(2)
    config = plugin.Config(multimodal_weight=1, unimodal_weight=1)
    values = loss_values(plugin.loss, config, forget, retain, permutation=ORDER, logit_scale=7.0)
    assert values == pytest.approx(expected(forget, retain), rel=1e-9)


def test_weights_scale_their_terms():
    forget, retain = random_pairs(1), random_pairs(2)
    config = plugin.Config(decoupling_weight=2, multimodal_weight=0.5, unimodal_weight=3)
    values = loss_values(plugin.loss, config, forget, retain, permutation=ORDER)
    assert values == pytest.approx(expected(forget, retain, (2, 0.5, 3)), rel=1e-9)


def test_the_original_itself_only_has_pairs_to_decouple():
    forget, retain = (FixedPairs(p.image, p.text, p.image, p.text) for p in (random_pairs(1), random_pairs(2)))
    values = loss_values(plugin.loss, plugin.Config(), forget, retain, permutation=ORDER)
    assert values["decoupling"] > 0.01
    assert values["multimodal"] == values["unimodal"] == 0


def test_run(tiny_benchmark):
    assert_uses_budget(SPEC, tiny_benchmark, draws={"forget", "retain"})
