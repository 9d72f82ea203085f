import numpy as np
import pytest
import salmu_orthograd as plugin
import torch

from salmu_core.testing import check_method, numpy_contrastive, random_pairs, run_method, unit

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("orthograd")


def test_what_is_left_is_what_qr_leaves():
    rng = np.random.default_rng(1)
    push, keep = rng.normal(size=20), rng.normal(size=(3, 20))
    q, _ = np.linalg.qr(keep.T)
    expected = push - q @ (q.T @ push)
    for rows in (keep, np.vstack([keep, keep[0] + keep[1]]), np.vstack([keep, np.zeros(20)])):
        cut = [{"a": torch.tensor(g[:12]).reshape(3, 4), "b": torch.tensor(g[12:])} for g in (push, *rows)]
        left = plugin.rejected(cut[0], cut[1:])
        found = np.concatenate([left["a"].numpy().ravel(), left["b"].numpy()])
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_losses_of_the_pairs_make_up_clips():
    pairs = random_pairs(4)
    losses = plugin.pair_losses(torch.tensor(unit(pairs.image) @ unit(pairs.text).T), torch.tensor(7.0)).numpy()
    assert losses.mean() == pytest.approx(numpy_contrastive(pairs, 7.0)) and losses.shape == (5,)


@pytest.mark.parametrize(("scope", "samples"), [("model", 2), ("parameter", 3)])
def test_a_run_takes_a_gradient_for_each_pair(tiny_benchmark, scope, samples):
    given = {"loss": "negative-gradient", "scope": scope, "samples": samples, "settings": {"batch_size": 4}}
    outcome, _ = run_method(SPEC, tiny_benchmark, **given)
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    assert outcome.ledger.backward_passes == (samples + 1) * outcome.ledger.steps
