import numpy as np
import pytest
import salmu_salun as plugin
import torch

from salmu_core.testing import check_method, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("salun")


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_largest_gradients_of_all_weights_together_are_chosen(share):
    rng = np.random.default_rng(3)
    gradients = {"a": rng.normal(size=(4, 5)), "b": 10 * rng.normal(size=7), "rare": np.zeros((50, 2))}
    gradients["rare"][:3] = rng.normal(size=(3, 2))
    pooled = np.sort(np.concatenate([np.abs(g[g != 0]) for g in gradients.values()]))[::-1]
    least = pooled[round(share * len(pooled)) - 1]
    masks = plugin.salient({name: torch.tensor(g) for name, g in gradients.items()}, share)
    for name, g in gradients.items():
        assert np.array_equal(masks[name].numpy(), (np.abs(g) >= least) & (g != 0)), name


@pytest.mark.parametrize(("saliency", "share"), [("contrastive", 0.2), ("loss", 0.05)])
def test_what_is_masked_keeps_its_bytes_under_decay_and_momentum(tiny_benchmark, saliency, share):
    settings = {"batch_size": 4, "weight_decay": 0.1, "lr": 1e-3}
    outcome, session = run_method(
        SPEC, tiny_benchmark, budget=1.9, share=share, saliency=saliency, loss="vlunlearn", settings=settings
    )
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    ((_, chosen),) = outcome.scalars["share"]
    assert 0 < chosen < share and 0.9 * chosen < outcome.ledger.weights_changed <= chosen
    before = dict(session.clip.model.named_parameters())
    same = [torch.equal(p, before[name]) for name, p in outcome.model.named_parameters() if name.endswith("weight")]
    assert not all(same)


def test_the_look_at_the_gradients_leaves_most_of_the_budget_to_the_loss(tiny_benchmark):
    outcome, session = run_method(SPEC, tiny_benchmark, budget=1, mask_steps=100, settings={"batch_size": 4})
    cap = len(session.pools["forget"])
    assert outcome.ledger.forget_samples == cap // 4 * 4 and outcome.ledger.steps >= 0.6 * cap / 4
