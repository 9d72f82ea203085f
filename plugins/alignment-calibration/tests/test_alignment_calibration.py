import numpy as np
import pytest
import salmu_alignment_calibration as plugin

from salmu_core.testing import (
    FixedPairs,
    assert_uses_budget,
    check_method,
    loss_values,
    random_pairs,
    unit,
)

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("alignment-calibration")


def expected(forget, retain, alpha, beta, scale):
    """Anchors of one batch, forget pairs last, each with all others as negatives, in both directions."""
    image, text = (np.concatenate([unit(getattr(retain, s)), unit(getattr(forget, s))]) for s in ("image", "text"))
    odds, kept, n = np.exp(scale * image @ text.T), len(retain.image), len(image)
    rows = [-np.log(odds[i, i] / odds[i].sum()) / 2 - np.log(odds[i, i] / odds[:, i].sum()) / 2 for i in range(n)]
    cosines = [image[i] @ text[i] for i in range(kept, n)]
    terms = {
        "negative": (sum(rows[:kept]) + alpha * sum(rows[kept:])) / (kept + alpha * (n - kept)),
        "positive": beta * (n - kept) / n * np.mean(cosines),
    }
    return pytest.approx({"loss": sum(terms.values()), **terms}, rel=1e-9)


@pytest.mark.parametrize(("variant", "alpha"), [("clip", 0), ("code", 1)])
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_loss_has_negative_and_positive_calibration(variant, alpha, beta):
    forget, retain = random_pairs(1, pairs=3), random_pairs(2, pairs=5)
    config = plugin.Config(variant=variant, beta=beta)
    values = loss_values(plugin.loss, config, forget, retain, logit_scale=7.0)
    assert values == expected(forget, retain, alpha, beta, 7.0)


def test_forget_pairs_are_negatives_of_retain_pairs():
    """A forget caption that comes nearer to a retain image costs something, though forget pairs are no anchors."""
    retain = FixedPairs(np.eye(6)[:3], np.eye(6)[:3])
    far, near = FixedPairs(np.eye(6)[3:], np.eye(6)[3:]), FixedPairs(np.eye(6)[3:], np.eye(6)[3:] + np.eye(6)[:3])
    config = plugin.Config(beta=0)
    apart, close = (loss_values(plugin.loss, config, f, retain, logit_scale=5.0)["negative"] for f in (far, near))
    assert close > 2 * apart


@pytest.mark.parametrize("variant", ["clip", "code"])
def test_run(tiny_benchmark, variant):
    assert_uses_budget(SPEC, tiny_benchmark, draws={"forget", "retain"}, variant=variant)
