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


def test_scores_are_norms_and_a_cosine():
    weight, push, keep = np.random.default_rng(2).normal(size=(3, 4, 5))
    importance, conflict = plugin.scores(*map(torch.tensor, (weight, push, keep)))
    assert importance == pytest.approx(np.linalg.norm(push) / np.linalg.norm(weight))
    assert conflict == pytest.approx(abs((push * keep).sum()) / np.linalg.norm(push) / np.linalg.norm(keep))
    assert plugin.scores(*map(torch.tensor, (weight, push, 0 * keep)))[1] == 0


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
