"""What goes into layers, held against the same layers in numpy."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from salmu_core import input_moments
from salmu_core.testing import tiny_model


def test_they_are_of_what_every_layer_is_given():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    batches = torch.randn(2, 2, 5, 3, generator=torch.Generator().manual_seed(0))
    moments = input_moments(SimpleNamespace(model=model, features=model), batches)
    first = batches.reshape(-1, 3).numpy()
    second = np.maximum(first @ model[0].weight.detach().numpy().T + model[0].bias.detach().numpy(), 0)
    for name, x in (("0.weight", first), ("2.weight", second)):
        np.testing.assert_allclose(moments.pop(name).numpy(), x.T @ x, rtol=1e-4)
    assert not moments and not any(layer._forward_pre_hooks for layer in model)


def test_of_attention_it_is_the_input_that_its_projections_share():
    model, seen = tiny_model().eval(), []
    block = model.visual.transformer.resblocks[0]
    image = torch.randn(2, 3, *model.visual.image_size, generator=torch.Generator().manual_seed(0))

    def features(batch):
        with block.ln_1.register_forward_hook(lambda *call: seen.append(call[2].flatten(0, -2).numpy())):
            model.encode_image(batch)

    moments = input_moments(SimpleNamespace(model=model, features=features), [image])
    found = moments["visual.transformer.resblocks.0.attn.in_proj_weight"].numpy()
    np.testing.assert_allclose(found, seen[0].T @ seen[0], rtol=1e-4, atol=1e-4)
    assert all(moment.shape == 2 * (model.get_parameter(name).shape[1],) for name, moment in moments.items())
