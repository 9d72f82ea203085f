import numpy as np
import pytest
import salmu_lora as plugin
import torch

from salmu_core.testing import check_method, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("lora")


def changes(outcome, session):
    before = dict(session.clip.model.named_parameters())
    moved = {name: (p - before[name]).detach().numpy() for name, p in outcome.model.named_parameters()}
    return {name: change for name, change in moved.items() if change.any()}


@pytest.mark.parametrize("loss", ["delete", "negative-gradient"])
def test_every_update_is_of_small_rank_and_nothing_else_moves(tiny_benchmark, loss):
    settings = {"batch_size": 4, "weight_decay": 0.1}
    outcome, session = run_method(SPEC, tiny_benchmark, budget=1, loss=loss, rank=2, settings=settings)
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    moved = changes(outcome, session)
    assert "visual.proj" in moved and "transformer.resblocks.0.mlp.c_fc.weight" in moved
    for name, change in moved.items():
        values = np.linalg.svd(change.astype(np.float64), compute_uv=False)
        assert values[1] > 1e-4 * values[0] > values[2], name  # beyond the second there is rounding alone


@pytest.mark.parametrize(
    ("where", "of_it"),
    [
        ("attention", lambda name: ".attn." in name),
        ("mlp", lambda name: ".mlp." in name),
        ("image", lambda name: name.startswith("visual.")),
        ("text", lambda name: not name.startswith("visual.")),
    ],
)
def test_where_they_are_is_where_weights_change(tiny_benchmark, where, of_it):
    outcome, session = run_method(SPEC, tiny_benchmark, budget=1, where=where, settings={"batch_size": 4})
    everything, _ = run_method(SPEC, tiny_benchmark, budget=1, settings={"batch_size": 4})
    assert set(changes(outcome, session)) == {name for name in changes(everything, session) if of_it(name)}


def test_its_learning_rate_is_a_multiple_of_the_wrapped_one(tiny_benchmark):
    settings = {"batch_size": 4, "lr": 3e-5}
    outcome, _ = run_method(SPEC, tiny_benchmark, budget=1, lr_factor=7, settings=settings)
    (fit,) = outcome.fits
    assert fit.settings["lr"] == pytest.approx(21e-5) and fit.settings["forgetting_weight"] == 1.0
    assert torch.isfinite(outcome.model.logit_scale)
