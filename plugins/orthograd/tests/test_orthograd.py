import numpy as np
import pytest
import salmu_orthograd as plugin

from salmu_core.testing import FixedPairs, check_method, numpy_contrastive, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("orthograd")


def test_what_is_left_of_a_step_is_what_qr_leaves(tiny_benchmark, monkeypatch):
    seen, surgery = [], plugin.by_rows

    def watched(project):
        def project_and_look(terms):
            seen.append((terms, project(terms)))
            return seen[-1][1]

        return surgery(project_and_look)

    monkeypatch.setattr(plugin, "by_rows", watched)
    run_method(SPEC, tiny_benchmark, loss="direct-similarity", samples=3, settings={"batch_size": 4})
    for terms, left in seen:
        vectors = {name: np.concatenate([g.numpy().ravel() for g in term.values()]) for name, term in terms.items()}
        push = vectors.pop("forget").astype(np.float64)
        q, _ = np.linalg.qr(np.stack(list(vectors.values()), axis=1).astype(np.float64))
        found = np.concatenate([g.numpy().ravel() for g in left.values()])
        np.testing.assert_allclose(found, push - q @ (q.T @ push), rtol=0, atol=1e-4 * np.abs(push).max())
    assert seen and len(vectors) == 3


def test_terms_are_the_pairs_shares_of_clips_loss(tiny_benchmark, monkeypatch):
    shares, rows = [], plugin.contrastive_rows
    monkeypatch.setattr(
        plugin, "contrastive_rows", lambda *given: shares.append((given, rows(*given))) or shares[-1][1]
    )
    run_method(SPEC, tiny_benchmark, loss="delete", settings={"batch_size": 4})
    (features, scale), found = shares[0]
    pairs = FixedPairs(features.image.detach().numpy(), features.text.detach().numpy())
    assert found.mean().item() == pytest.approx(numpy_contrastive(pairs, scale.item()), rel=1e-5) and len(found) == 4


@pytest.mark.parametrize(("scope", "samples"), [("model", 2), ("parameter", 3)])
def test_a_run_takes_a_gradient_for_each_pair(tiny_benchmark, scope, samples):
    given = {"loss": "negative-gradient", "scope": scope, "samples": samples, "settings": {"batch_size": 4}}
    outcome, _ = run_method(SPEC, tiny_benchmark, **given)
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    assert outcome.ledger.backward_passes == (samples + 1) * outcome.ledger.steps
