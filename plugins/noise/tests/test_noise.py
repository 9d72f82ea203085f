import numpy as np
import pytest
import salmu_noise as plugin

from salmu_core.testing import assert_uses_budget, check_method, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("noise")


def changes(benchmark, **settings):
    """Weights as they were, and what was added to them, by name; and the run's scalars."""
    outcome, session = run_method(SPEC, benchmark, **settings)
    models = [dict(model.named_parameters()) for model in (session.clip.model, outcome.model)]
    old, new = ({name: w.detach().double().numpy() for name, w in model.items()} for model in models)
    assert np.array_equal(old.pop("logit_scale"), new.pop("logit_scale"))
    return old, {name: new[name] - old[name] for name in old}, outcome.scalars


def test_each_tensor_moves_by_the_stated_share_of_its_norm(tiny_benchmark):
    old, added, _ = changes(tiny_benchmark, relative=0.3)
    for name, weight in old.items():
        assert np.linalg.norm(added[name]) == pytest.approx(0.3 * np.linalg.norm(weight), rel=1e-4), name
    large = added["token_embedding.weight"].ravel()
    assert abs(np.mean(large)) < 5 * np.std(large) / len(large) ** 0.5
    assert np.mean(large**4) / np.mean(large**2) ** 2 == pytest.approx(3, abs=0.1)  # Gaussian


def test_or_the_whole_model_does_and_every_weight_has_the_same_noise(tiny_benchmark):
    old, added, scalars = changes(tiny_benchmark, relative=0.3, of="model")
    sizes = [np.linalg.norm(np.concatenate([w.ravel() for w in weights.values()])) for weights in (old, added)]
    assert sizes[1] == pytest.approx(0.3 * sizes[0], rel=1e-4)
    assert scalars["norm"] == [(0, pytest.approx(sizes[1], rel=1e-4))]
    deviations = [np.std(change) for change in added.values() if change.size > 1000]
    assert max(deviations) < 1.2 * min(deviations)


def test_it_draws_nothing(tiny_benchmark):
    assert_uses_budget(SPEC, tiny_benchmark, draws=())
