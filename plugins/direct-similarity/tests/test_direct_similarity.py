import numpy as np
import pytest
import salmu_direct_similarity as plugin

from salmu_core.testing import (
    FixedPairs,
    assert_uses_budget,
    check_method,
    loss_values,
    random_pairs,
    unit,
)

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("direct-similarity")


def test_loss_is_the_mean_cosine_of_forget_pairs():
    forget = random_pairs(1)
    cosines = [i @ t for i, t in zip(unit(forget.image), unit(forget.text), strict=True)]
    values = loss_values(plugin.loss, SPEC.config(), forget, logit_scale=7.0)
    assert values["loss"] == pytest.approx(np.mean(cosines), rel=1e-9)


def test_loss_spans_the_cosines_range_and_looks_at_own_captions_only():
    images = np.eye(3)
    for captions, expected in ((images, 1.0), (-images, -1.0), (np.roll(images, 1, axis=0), 0.0)):
        values = loss_values(plugin.loss, SPEC.config(), FixedPairs(images, captions))
        assert values["loss"] == pytest.approx(expected)


def test_run(tiny_benchmark):
    assert_uses_budget(SPEC, tiny_benchmark, draws={"forget"})
