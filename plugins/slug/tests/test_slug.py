from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import salmu_slug as plugin
import torch

from salmu_core.testing import check_method, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("slug")


def test_the_front_has_what_nothing_beats():
    points = np.random.default_rng(1).uniform(size=(30, 2))
    layers = {f"layer {i}": (float(a), float(b)) for i, (a, b) in enumerate(points)}
    hull, least = [], 2.0
    for i in np.argsort(-points[:, 0]):  # from the most important on, what is in less conflict than all before it
        if points[i, 1] < least:
            hull.append(f"layer {i}")
            least = points[i, 1]
    assert plugin.front(layers) == hull and len(hull) > 2
    assert plugin.front({"a": (1.0, 0.5), "b": (1.0, 0.5), "c": (1.0, 0.6)}) == ["a", "b"]


@pytest.mark.parametrize("needed", [0.03, 0.7, 5.3])
def test_the_step_is_doubled_until_it_forgets_and_then_bisected(needed):
    weight, along = torch.full((4, 4), 2.0), torch.full((4, 4), -0.5)
    start = weight.clone()

    def probe():
        rate = float((weight - start).mean() / 0.5)
        return SimpleNamespace(forget_mrr=0.0 if rate >= needed else 1.0, retain_agreement=1 / (1 + rate))

    ctx = SimpleNamespace(
        edit=lambda: nullcontext({"w": weight}), probe=probe, config=SimpleNamespace(tries=14)
    )  # fmt: skip
    best = plugin.tried(ctx, "w", along, 0.1)
    assert best.forgets and needed <= best.rate < 1.01 * needed and torch.equal(weight, start)


def test_one_layer_is_changed_along_a_gradient(tiny_benchmark):
    seen = {}

    def unlearn(ctx):
        gradients, before = ctx.gradients, dict(ctx.model.named_parameters())

        def look(loss, **given):
            seen[given["on"]] = gradients(loss, **given)
            return seen[given["on"]]

        ctx.gradients = look
        seen["start"] = {name: p.detach().clone() for name, p in before.items()}
        plugin.unlearn(ctx)

    spec = SPEC.model_copy(update={"unlearn": unlearn})
    outcome, _ = run_method(spec, tiny_benchmark, loss="cliperase", settings={"batch_size": 4})
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    moved = {n: p.detach() - seen["start"][n] for n, p in outcome.model.named_parameters()}
    ((name, change),) = ((n, change) for n, change in moved.items() if change.any())
    ((key, ((_, rate),)),) = ((k, v) for k, v in outcome.scalars.items() if k.startswith("step of"))
    assert key == f"step of {name}"
    np.testing.assert_allclose(change.numpy(), -rate * seen["forget"][name].numpy(), rtol=1e-3, atol=1e-6)
    assert outcome.ledger.steps == 0 and outcome.ledger.retain_samples > 0
