"""Task vectors, against a training of their own, and how much of one is subtracted, against a rule written out."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from salmu_core import MethodSpec, NegationConfig, negate, task_vector
from salmu_core.losses import forget_loss
from salmu_core.testing import run_method

FACTS = {"summary": "A test.", "paper": "https://example.org", "config": NegationConfig}
SETTINGS = {"lr": 1e-3, "batch_size": 4}


def weights(model):
    return {name: weight.detach().double().numpy() for name, weight in model.named_parameters()}


def test_a_task_vector_is_what_the_training_adds_and_the_model_is_the_original_again(tiny_benchmark):
    found = {}

    def unlearn(ctx):
        found["vector"] = task_vector(ctx, forget_loss, steps=3)
        found["again"] = task_vector(ctx, forget_loss, steps=1)
        found["after"] = weights(ctx.model)

    run_method(MethodSpec(name="vector", unlearn=unlearn, **FACTS), tiny_benchmark, **SETTINGS)
    three = MethodSpec(name="three", unlearn=lambda ctx: ctx.fit(forget_loss, steps=3) and None, **FACTS)
    trained, session = run_method(three, tiny_benchmark, **SETTINGS)
    before, after = weights(session.clip.model), weights(trained.model)
    assert found["vector"].keys() == before.keys()
    for name, vector in found["vector"].items():
        assert vector.numpy() == pytest.approx(after[name] - before[name], abs=1e-7)
        assert np.array_equal(found["after"][name], before[name])
    assert any(vector.any() for vector in found["again"].values())


def curve(forget, retain, **config):
    """The scale that is taken where probes find these ranks, the original's first; and what is in the model then."""
    weight, probes, logged = torch.zeros(2), iter(zip(forget, retain, strict=True)), []
    ctx = SimpleNamespace(
        config=NegationConfig(scales=len(forget) - 1, **config),
        reference=SimpleNamespace(state_dict=lambda: {"w": torch.tensor([1.0, 2.0])}),
        probe=lambda: SimpleNamespace(**dict(zip(("forget_mrr", "retain_mrr"), next(probes), strict=True))),
        edit=lambda: nullcontext({"w": weight}),
        log=lambda *what: logged.append(what),
    )
    scale = negate(ctx, {"w": torch.tensor([1.0, -2.0])})
    assert weight.tolist() == pytest.approx([1 - scale, 2 + 2 * scale])
    assert ("scale", scale) in logged and ("forget_mrr", forget[1], 0) in logged
    return scale


@pytest.mark.parametrize(
    ("forget", "retain", "config", "scale"),
    [
        ([0.5, 0.4, 0.3, 0.2, 0.1], [1.0, 1.0, 0.96, 0.94, 0.5], {}, 0.5),  # as much as the control allows
        ([0.5, 0.4, 0.3, 0.2, 0.1], [1.0, 1.0, 0.96, 0.94, 0.5], {"control": 0.9}, 0.75),
        ([0.5, 0.4, 0.1, 0.2, 0.3], [1.0, 1.0, 1.0, 1.0, 1.0], {"max_scale": 2}, 1.0),  # more is not always better
        ([0.5, 0.4, 0.1, 0.1, 0.3], [1.0, 1.0, 1.0, 1.0, 1.0], {}, 0.5),  # of equals, the smaller
        ([0.5, 0.4, 0.3, 0.2, 0.1], [1.0, 0.9, 0.8, 0.7, 0.6], {}, 0.25),  # none keeps it: the smallest
    ],
)
def test_the_scale_forgets_most_of_those_that_keep_the_control(forget, retain, config, scale):
    assert curve(forget, retain, **config) == pytest.approx(scale)
