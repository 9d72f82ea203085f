"""Gradients without an optimizer: of the model as it is."""

import copy

import torch
from accelerate import Accelerator
from torch import nn

from salmu_core.train.gradients import mean_gradients
from salmu_core.train.pieces import Pieces


def test_batch_statistics_are_neither_used_nor_kept_and_nothing_is_dropped():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model, x = (
            nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1)),
            torch.randn(6, 3),
        )
    model.eval()
    before = copy.deepcopy(model.state_dict())
    gradients = mean_gradients(model, lambda step: model(x).square().mean(), 2, 1, Accelerator(cpu=True), Pieces(model))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    expected = torch.autograd.grad(model(x).square().mean(), list(model.parameters()))
    for found, value in zip(gradients.values(), expected, strict=True):
        assert torch.allclose(found, value, atol=1e-6)
