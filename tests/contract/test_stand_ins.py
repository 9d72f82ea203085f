"""A model at other weights, held against a copy that has them."""

import copy
from types import SimpleNamespace

import pytest
import torch

from salmu_core import Features, at_weights
from salmu_core.clip.texts import encode_text
from salmu_core.losses import contrastive_loss
from salmu_core.testing import tiny_model
from salmu_core.train.pieces import Pieces

GENERATOR = torch.Generator().manual_seed(0)
IMAGE = torch.randn(4, 3, 16, 16, generator=GENERATOR)
TEXT = torch.randint(1, 99, (4, 20), generator=GENERATOR)


def contexts(model, size=0):
    pieces = Pieces(model, size)

    def features(batch):
        text = pieces.encode(lambda tokens, **how: encode_text(model, tokens, **how), TEXT)
        return Features(pieces.encode(model.encode_image, IMAGE), text)

    return SimpleNamespace(model=model, features=features)


@pytest.mark.parametrize("size", [0, 2])
def test_value_and_gradients_are_those_at_these_weights(size):
    model, other, middle = tiny_model(1).train(), tiny_model(2), tiny_model(1).train()
    start = dict(other.named_parameters())
    with torch.no_grad():
        for name, p in middle.named_parameters():
            p.copy_((p + start[name]) / 2)
    weights = {name: (p + start[name].detach()) / 2 for name, p in model.named_parameters()}
    before = copy.deepcopy(model.state_dict())
    ctx = contexts(model, size)
    found = at_weights(model, weights, lambda: contrastive_loss(ctx, None))
    expected = contrastive_loss(contexts(middle), None)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    found.backward()
    expected.backward()
    for name, p in middle.named_parameters():
        torch.testing.assert_close(2 * model.get_parameter(name).grad, p.grad, rtol=1e-4, atol=1e-6, msg=name)
    assert all(isinstance(p, torch.nn.Parameter) for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_is_not_named_is_the_models_own():
    model = tiny_model()
    scale = torch.zeros((), requires_grad=True)
    found = at_weights(model, {"logit_scale": scale}, lambda: model.logit_scale + model.visual.proj.sum())
    assert found.item() == pytest.approx(model.visual.proj.sum().item())
    found.backward()
    assert scale.grad == 1 and model.visual.proj.grad is not None and model.logit_scale.grad is None
