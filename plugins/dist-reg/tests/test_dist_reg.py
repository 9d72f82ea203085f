import copy
from types import SimpleNamespace

import numpy as np
import pytest
import salmu_dist_reg as plugin
import torch

from salmu_core import Features
from salmu_core.testing import FixedPairs, check_method, numpy_contrastive, run_method, tiny_model

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("dist-reg")


def test_the_distance_is_the_root_of_the_mean_square():
    rng = np.random.default_rng(1)
    start = {"a": rng.normal(size=(3, 4)), "b": rng.normal(size=5)}
    now = {name: value + rng.normal(size=value.shape) for name, value in start.items()}
    pooled = np.concatenate([(now[name] - start[name]).ravel() for name in start])
    found = plugin.distance(*({n: torch.tensor(v) for n, v in d.items()} for d in (now, start)))
    assert found.item() == pytest.approx(np.sqrt((pooled**2).mean()))


def test_where_there_is_no_distance_yet_it_pulls_nowhere():
    weight = torch.ones(4, requires_grad=True)
    plugin.distance({"w": weight}, {"w": torch.ones(4)}).backward()
    assert weight.grad.tolist() == [0.0] * 4


def test_the_barrier_is_clips_loss_of_the_model_half_way():
    model, original = tiny_model(1), tiny_model(2)
    middle = copy.deepcopy(model)
    with torch.no_grad():
        for p, q in zip(middle.parameters(), original.parameters(), strict=True):
            p.copy_((p + q) / 2)
    rng = torch.Generator().manual_seed(0)
    size = model.visual.conv1.kernel_size[0] * 2
    batches = [
        SimpleNamespace(
            image=torch.randn(3, 3, size, size, generator=rng),
            text=torch.randint(1, 99, (3, model.context_length), generator=rng),
        )
        for _ in range(2)
    ]
    with torch.no_grad():
        embedded = [(middle.encode_image(b.image).numpy(), middle.encode_text(b.text).numpy()) for b in batches]
    scale = float(middle.logit_scale.detach().exp())
    expected = sum(numpy_contrastive(FixedPairs(*e), scale) for e in embedded)
    ctx = SimpleNamespace(
        model=model,
        reference=original.requires_grad_(False),
        features=lambda b: Features(
            model.encode_image(b.image, normalize=True), model.encode_text(b.text, normalize=True)
        ),
    )
    found = plugin.midpoint_loss(ctx, SimpleNamespace(forget=batches[0], retain=batches[1]))
    assert found.item() == pytest.approx(expected, rel=1e-4)
    found.backward()
    assert model.visual.proj.grad.any() and model.logit_scale.grad.abs() > 0


@pytest.mark.parametrize("variant", ["distance", "connectivity"])
@pytest.mark.parametrize("loss", ["finetuning", "delete"])
def test_a_run_has_the_term_beside_those_of_the_loss(tiny_benchmark, loss, variant):
    given = {"loss": loss, "variant": variant, "settings": {"batch_size": 4, "lr": 1e-3}}
    outcome, _ = run_method(SPEC, tiny_benchmark, budget=2, distance_weight=5, **given)
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    curve = [value for _, value in next(v for name, v in outcome.scalars.items() if name.endswith(variant))]
    assert all(value <= 0 for value in curve) and curve[-1] < 0
    if variant == "distance":
        assert curve[0] == pytest.approx(0, abs=1e-6) and curve[-1] < 10 * curve[0]


def test_with_a_larger_weight_it_ends_farther_away(tiny_benchmark):
    far = []
    for weight in (0.0, 1000.0):
        outcome, session = run_method(
            SPEC, tiny_benchmark, budget=2, loss="finetuning", distance_weight=weight,
            settings={"batch_size": 4, "lr": 1e-3, "schedule": "constant"},
        )  # fmt: skip
        start = dict(session.clip.model.named_parameters())
        far.append(plugin.distance(dict(outcome.model.named_parameters()), start).item())
    assert far[1] > 1.2 * far[0]
