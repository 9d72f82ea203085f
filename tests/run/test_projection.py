"""A method that projects gradients, held against the same in numpy."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from salmu_core.testing import run_method

SETTINGS = {"batch_size": 8, "budget": 3}


@pytest.fixture
def method(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "methods"))
    return importlib.import_module("projection")


def by_hand(ctx, step):
    """The same from autograd and numpy."""
    parts = []
    for sign, batch in ((-1, step.forget), (1, step.retain)):
        image = ctx.model.encode_image(batch.image, normalize=True)
        text = ctx.model.encode_text(batch.text, normalize=True)
        logits, target = ctx.model.logit_scale.exp() * image @ text.T, torch.arange(len(image))
        value = torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)
        found = torch.autograd.grad(sign * value / 2, list(ctx.model.parameters()))
        parts.append(np.concatenate([g.numpy().astype(np.float64).ravel() for g in found]))
    forget, retain = parts
    rest = forget - forget @ retain / (retain @ retain) * retain
    lengths = [np.linalg.norm(vector) for vector in (forget, rest, retain)]
    assert abs(forget @ retain) > 0.1 * lengths[0] * lengths[2] and abs(rest @ retain) < 1e-9 * lengths[1] * lengths[2]
    return rest + retain


@pytest.mark.parametrize("micro_batch", [0, 3])
def test_the_projection_is_that_of_numpy(tiny, method, micro_batch):
    steps, found = [], []

    def watched(ctx):
        def remember(ctx, step):
            steps.append(step)
            return method.loss(ctx, step)

        def compare(terms):
            ours = method.project(terms)
            with torch.enable_grad():
                expected = by_hand(ctx, steps[-1])
            flat = np.concatenate([ours[name].numpy().ravel() for name, _ in ctx.model.named_parameters()])
            np.testing.assert_allclose(flat, expected, atol=1e-5 * np.abs(expected).max())
            found.append(ours)
            return ours

        ctx.fit(remember, transform=compare)

    spec = method.salmu_methods()[0].model_copy(update={"unlearn": watched})
    outcome, _ = run_method(spec, tiny, **SETTINGS, micro_batch=micro_batch)
    assert outcome.status == "valid", outcome.traceback
    assert len(found) == outcome.ledger.steps == 6
    assert outcome.ledger.backward_passes == 12


def test_it_unlearns_alike_in_pieces(tiny, method):
    (spec,) = method.salmu_methods()
    (whole, _), (pieces, _) = (run_method(spec, tiny, **SETTINGS, micro_batch=size) for size in (0, 3))
    for (name, a), b in zip(whole.model.named_parameters(), pieces.model.parameters(), strict=True):
        assert float((a - b).detach().abs().max()) < 1e-5, name
    # Each term is of one batch, so that no piece is encoded more than twice.
    assert pieces.ledger.forward_images == 2 * whole.ledger.forward_images
