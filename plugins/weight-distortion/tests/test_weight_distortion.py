import numpy as np
import pytest
import salmu_weight_distortion as plugin
import torch

from salmu_core import MethodSpec
from salmu_core.losses import retain_loss
from salmu_core.testing import assert_uses_budget, check_method, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("weight-distortion")


def test_every_weight_gets_noise_of_the_stated_size_before_it_is_trained(tiny_benchmark):
    outcome, session = run_method(SPEC, tiny_benchmark, noise=0.05, lr=1e-12, batch_size=4)
    for (name, old), new in zip(session.clip.model.named_parameters(), outcome.model.parameters(), strict=True):
        added = (new - old).detach().numpy()
        if name == "logit_scale":
            assert added == pytest.approx(0, abs=1e-9)
        elif added.size > 1000:
            assert np.std(added) == pytest.approx(0.05, rel=0.1) and abs(np.mean(added)) < 0.01, name


def test_without_noise_to_speak_of_it_is_training_on_the_retain_set(tiny_benchmark):
    plain = MethodSpec(name="plain", summary="A.", paper="https://example.org", loss=retain_loss)
    settings = {"lr": 1e-3, "batch_size": 4}
    (ours, _), (theirs, _) = (
        run_method(SPEC, tiny_benchmark, noise=1e-12, **settings),
        run_method(plain, tiny_benchmark, **settings),
    )
    for a, b in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_it_draws_retain_pairs_only(tiny_benchmark):
    assert_uses_budget(SPEC, tiny_benchmark, draws={"retain"})
