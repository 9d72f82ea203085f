import numpy as np
import pytest
import salmu_null_space as plugin
import torch

from salmu_core.testing import check_method, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("null-space")


@pytest.mark.parametrize("energy", [0.3, 0.9, 1.0])
def test_the_basis_is_that_of_the_largest_eigenvalues(energy):
    rows = np.random.default_rng(0).normal(size=(50, 8)) * np.arange(8, 0, -1)
    values, vectors = np.linalg.eigh(rows.T @ rows)
    values, vectors = values[::-1], vectors[:, ::-1]
    fewest = next(k for k in range(1, 9) if values[:k].sum() >= (energy - 1e-12) * values.sum())
    found = plugin.basis(torch.tensor(rows), energy, None).numpy()
    assert found.shape == (8, fewest) and found.T @ found == pytest.approx(np.eye(fewest), abs=1e-12)
    assert found @ found.T == pytest.approx(vectors[:, :fewest] @ vectors[:, :fewest].T, abs=1e-9)
    assert plugin.basis(torch.tensor(rows), energy, 3).shape == (8, 3)
    assert plugin.basis(torch.tensor(rows[:2]), energy, 3).shape == (8, 2)


@pytest.mark.parametrize(("strength", "centred"), [(1.0, False), (0.5, False), (1.0, True)])
def test_embeddings_lose_a_share_of_the_directions_and_nothing_else(tiny_benchmark, strength, centred):
    outcome, session = run_method(SPEC, tiny_benchmark, strength=strength, rank=3, centred=centred)
    assert outcome.status == "valid", outcome.reason
    pool = session.pools["forget"]
    with torch.no_grad():
        before, after = (
            model.encode_text(pool.tokens(np.arange(len(pool))), normalize=False).double().numpy()
            for model in (session.clip.model, outcome.model)
        )
    unit = before / np.linalg.norm(before, axis=1, keepdims=True)
    rows = unit - unit.mean(axis=0) if centred else unit
    directions = np.linalg.svd(rows)[2][:3]
    assert after == pytest.approx(before - strength * before @ directions.T @ directions, abs=1e-5)
    assert outcome.scalars["directions"] == [(0, 3)]
    changed = [
        name
        for (name, a), b in zip(session.clip.model.named_parameters(), outcome.model.parameters(), strict=True)
        if not torch.equal(a, b)
    ]
    assert changed == ["text_projection"]


def test_one_pass_over_captions_and_no_image(tiny_benchmark):
    outcome, session = run_method(SPEC, tiny_benchmark, budget=3)
    assert outcome.ledger.forget_samples == len(session.pools["forget"])
    assert not outcome.ledger.retain_samples and not outcome.ledger.forward_images
