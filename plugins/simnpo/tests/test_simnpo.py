import numpy as np
import pytest
import salmu_simnpo as plugin

from salmu_core.testing import (
    assert_uses_budget,
    check_method,
    loss_values,
    numpy_contrastive,
    numpy_contrastive_rows,
    random_pairs,
)

(SPEC,) = plugin.salmu_methods()
FORGET, RETAIN = random_pairs(1), random_pairs(2)

test_conformance = check_method("simnpo")


def expected(beta, weight, margin=0.0, retention=1.0):
    """``-(2 / b) log sigmoid(b (L - c))``, weighted, of pairs instead of answers; and the retain pairs' loss."""
    rows = numpy_contrastive_rows(FORGET.image, FORGET.text, 7.0)
    preference = np.mean(-2 / beta * np.log(1 / (1 + np.exp(-beta * (rows - margin)))))
    terms = {"forgetting": weight * preference, "retention": retention * numpy_contrastive(RETAIN, 7.0)}
    return pytest.approx({"loss": sum(terms.values()), **terms}, rel=1e-9)


@pytest.mark.parametrize(
    ("settings", "constants"),
    [
        ({}, (2.5, 0.1375)),
        ({"variant": "open-unlearning"}, (4.5, 0.125)),
        ({"variant": "open-unlearning", "beta": 0.7}, (0.7, 0.125)),
        ({"forgetting_weight": 0.0}, (2.5, 0.0)),
        ({"forgetting_weight": 3.0, "beta": 0.3, "margin": 1.5, "retention_weight": 0.5}, (0.3, 3.0, 1.5, 0.5)),
    ],
)
def test_loss_is_the_papers_at_either_set_of_published_constants(settings, constants):
    """The original has no part in it: the pairs given have no embeddings of it that it could look at."""
    values = loss_values(plugin.loss, plugin.Config(**settings), FORGET, RETAIN, logit_scale=7.0)
    assert values == expected(*constants)


@pytest.mark.parametrize("variant", ["authors", "open-unlearning"])
def test_run(tiny_benchmark, variant):
    outcome = assert_uses_budget(SPEC, tiny_benchmark, draws={"forget", "retain"}, variant=variant)
    assert outcome.ledger.reference_samples == 0
