from types import SimpleNamespace

import numpy as np
import pytest
import salmu_leace as plugin
import torch
from sklearn.linear_model import LogisticRegression

from salmu_core.testing import check_method, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("leace")


def people_apart(seed=0, rows=400, dimensions=10, people=4):
    """Embeddings of people that lie apart, in a cone as CLIP's do, and of others."""
    rng = np.random.default_rng(seed)
    mixing, who = rng.normal(size=(dimensions, dimensions)), rng.integers(people, size=rows)
    centres = rng.normal(size=(people, dimensions))
    x = (centres[who] + rng.normal(size=(rows, dimensions))) @ mixing + 3
    return x, who, rng.normal(size=(rows, dimensions)) @ mixing + 2


def erased_by(x, who, others, **settings):
    config = plugin.Config(**{"share": 1, **settings})
    matrix, rank = plugin.eraser(torch.tensor(x), torch.tensor(who), torch.tensor(others), config)
    return np.eye(x.shape[1]) - matrix.numpy(), rank


@pytest.mark.parametrize("variant", ["linear", "centred"])
def test_it_is_the_oblique_projector_written_without_square_roots(variant):
    x, who, others = people_apart()
    everything = np.concatenate([x, others])
    if variant == "centred":
        everything = everything - everything.mean(axis=0)
    moment = everything.T @ everything / len(everything)
    covariance = np.stack([(x[who == person] - x.mean(axis=0)).sum(axis=0) for person in range(4)], axis=1) / len(x)
    inverse = np.linalg.inv(moment)
    expected = covariance @ np.linalg.pinv(covariance.T @ inverse @ covariance, 1e-8) @ covariance.T @ inverse
    found, rank = erased_by(x, who, others, variant=variant)
    assert rank == 3  # four means, one of which the others and the whole give
    assert found == pytest.approx(np.eye(10) - expected, abs=1e-8)


def test_afterwards_means_coincide_and_no_linear_classifier_finds_anybody():
    x, who, others = people_apart()
    projector, _ = erased_by(x, who, others)
    after = x @ projector.T
    means = np.stack([after[who == person].mean(axis=0) for person in range(4)])
    assert means == pytest.approx(np.tile(after.mean(axis=0), (4, 1)), abs=1e-9)
    commonest = np.bincount(who).max() / len(who)
    told = [LogisticRegression(C=1e6, max_iter=5000).fit(data, who).score(data, who) for data in (x, after)]
    assert told[0] > 0.8 and told[1] == pytest.approx(commonest, abs=0.02)


@pytest.mark.parametrize("norm", ["identity", "moment", "another"])
def test_no_other_linear_map_that_erases_changes_less_in_any_norm(norm):
    x, who, others = people_apart()
    everything = np.concatenate([x, others])
    projector, _ = erased_by(x, who, others)
    rng = np.random.default_rng(1)
    moment, factor = everything.T @ everything / len(everything), rng.normal(size=(10, 10))
    weights = {"identity": np.eye(10), "moment": np.linalg.inv(moment), "another": factor @ factor.T}[norm]

    def change(mapping):
        moved = everything - everything @ mapping.T
        return np.einsum("ni,ij,nj->n", moved, weights, moved).mean()

    _, kinds = np.unique(who, return_inverse=True)
    means = np.stack([x[kinds == kind].mean(axis=0) - x.mean(axis=0) for kind in range(4)], axis=1)
    kept = np.linalg.svd(means)[0][:, 3:]  # at right angles to what tells people apart
    least = change(projector)
    assert least <= change(kept @ kept.T) + 1e-12
    for size in (1e-3, 0.1, 1):
        other = projector + size * rng.normal(size=(10, 7)) @ kept.T
        assert other @ means == pytest.approx(0, abs=1e-8)  # it erases as well
        assert least < change(other)


def test_a_share_bounds_the_directions_and_takes_the_most_telling():
    x, who, others = people_apart(people=12)
    assert erased_by(x, who, others)[1] > 8 and erased_by(x, who, others, share=0.35)[1] == 3
    told = []
    for share in (0.1, 0.3, 0.5):
        after = x @ erased_by(x, who, others, share=share)[0].T
        told.append(LogisticRegression(max_iter=5000).fit(after, who).score(after, who))
    assert told[0] > told[1] > told[2]


def test_the_models_people_have_one_mean_embedding(tiny_benchmark):
    outcome, session = run_method(SPEC, tiny_benchmark, budget=2, share=1, towers=("image", "text"))
    assert outcome.status == "valid", outcome.reason
    pool, rows = session.pools["forget"], np.arange(len(session.pools["forget"]))
    who = np.array(pool.pairs.identity_ids)
    rank = len(set(who)) - 1
    assert [outcome.scalars[f"{tower}_rank"][0][1] for tower in ("image", "text")] == [rank, rank]
    for tower, inputs in (("image", pool.images(rows)), ("text", pool.tokens(rows))):
        spread = []
        for model in (session.clip.model, outcome.model):
            with torch.no_grad():
                x = getattr(model, f"encode_{tower}")(inputs, normalize=False).numpy()
            spread.append(np.ptp([x[who == person].mean(axis=0) for person in sorted(set(who))], axis=0).max())
        assert spread[1] < 1e-3 * spread[0]
    changed = {
        n
        for (n, a), b in zip(outcome.model.named_parameters(), session.clip.model.parameters(), strict=True)
        if not torch.equal(a, b)
    }
    assert changed == {"visual.proj", "text_projection"}


def test_one_person_can_be_told_from_nobody(tiny_benchmark, monkeypatch):
    alike = property(lambda ctx: SimpleNamespace(identity_ids=["one"] * 100))
    monkeypatch.setattr("salmu_core.run.context.RunContext.forget", alike)
    outcome, _ = run_method(SPEC, tiny_benchmark)
    assert outcome.status == "crashed" and "of one person" in outcome.reason
