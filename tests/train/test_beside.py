"""Modules that are trained beside a model."""

import copy

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from salmu_core.contract.config import TrainingConfig
from salmu_core.errors import MethodError
from salmu_core.testing.tiny import tiny_model
from salmu_core.train.loop import fit

CONFIG = TrainingConfig(lr=1e-2, warmup=0.0, weight_decay=0.1, max_grad_norm=0.0, schedule="constant")


def run(model, objective, steps, **options):
    config = options.pop("config", CONFIG)
    return fit(model, objective, lambda: steps, config, Accelerator(cpu=True), **options)


def linear(columns=16, rows=1, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.Linear(columns, rows)


def values(module):
    return {name: p.detach().numpy().copy() for name, p in module.named_parameters()}


def moved(module, before):
    return {name for name, value in values(module).items() if value.tobytes() != before[name].tobytes()}


def test_with_no_parameter_of_the_model_only_the_others_are_trained():
    model, head = tiny_model(), linear()
    before, head_before = values(model), values(head)
    x = torch.ones(2, 16)
    run(model, lambda step: head(x).square().mean() + model.logit_scale, 3, params=lambda name: False, also={"h": head})
    assert not moved(model, before) and moved(head, head_before) == {"weight", "bias"}
    assert all(p.grad is None for p in (*model.parameters(), *head.parameters()))


def test_both_are_trained_by_one_optimizer_as_by_hand():
    model, head, twin, twin_head = tiny_model(), linear(), tiny_model(), linear()
    config = CONFIG.model_copy(update={"max_grad_norm": 0.01})

    def objective(model, head):
        return (head(model.visual.proj[:4]).mean() - 1).square()

    run(model, lambda step: objective(model, head), 4, also={"head": head}, config=config)
    both = [*twin.parameters(), *twin_head.parameters()]
    optimizer = torch.optim.AdamW(both, lr=1e-2, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1, fused=True)
    for _ in range(4):
        optimizer.zero_grad()
        objective(twin, twin_head).backward()
        torch.nn.utils.clip_grad_norm_(both, 0.01)
        optimizer.step()
    for a, b in zip([*model.parameters(), *head.parameters()], both, strict=True):
        assert torch.allclose(a, b, atol=1e-7)


def test_frozen_flags_are_respected_and_restored_with_the_modes_of_every_part():
    model = tiny_model()
    net = nn.Sequential(linear(16, 16), nn.Dropout(0.5), linear(16, 1, 1))
    net[0].requires_grad_(False)
    net.train()
    net[1].eval()
    before, seen = values(net), []

    def objective(step):
        seen.append([part.training for part in (model, *net.modules())])
        return net(torch.ones(2, 16)).square().mean() + model.logit_scale * 0

    run(model, objective, 2, also={"net": net})
    assert moved(net, before) == {"2.weight", "2.bias"} and all(all(modes) for modes in seen)
    assert [part.training for part in net.modules()] == [True, True, False, True] and not model.training
    assert [p.requires_grad for p in net.parameters()] == [False, False, True, True]
    net.eval()
    with pytest.raises(ZeroDivisionError):
        run(model, lambda step: 1 / 0, 1, also={"net": net})
    assert not any(part.training for part in net.modules())


def test_a_loss_may_be_of_what_is_beside_alone():
    model, mask = tiny_model(), nn.ParameterDict({"mask": torch.full((3,), 0.2)})
    run(model, lambda step: (mask["mask"] - 1).square().sum(), 400, params=lambda name: False, also={"mask": mask})
    np.testing.assert_allclose(mask["mask"].detach().numpy(), 1, atol=0.02)


class Reverse(torch.autograd.Function):
    """Gradient reversal (Ganin and Lempitsky 2015)."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def test_an_inner_network_climbs_while_the_model_descends():
    """min over x, max over y of x * y + x^2 / 2 - y^2 / 2, whose saddle is at 0: with gradients reversed for y."""
    model, inner = tiny_model(), nn.ParameterDict({"y": torch.tensor(0.5)})
    x = model.logit_scale
    with torch.no_grad():
        x.fill_(0.6)
    path = []

    def objective(step):
        path.append((x.item(), inner["y"].item()))
        y = Reverse.apply(inner["y"])
        return x * y + x.square() / 2 - y.square() / 2

    run(model, objective, 300, params=lambda name: name == "logit_scale", also={"inner": inner})
    assert path[1][0] < path[0][0] and path[1][1] > path[0][1]  # the first step: down in x, up in y
    assert abs(x.item()) < 0.05 and abs(inner["y"].item()) < 0.05


@pytest.mark.parametrize(
    ("also", "words"),
    [
        (lambda model: {"visual": linear()}, "'visual'.*begin with this name"),
        (lambda model: {"logit_scale": linear()}, "'logit_scale'.*begin with this name"),
        (lambda model: {"": linear()}, "without a dot"),
        (lambda model: {"a.b": linear()}, "'a.b'.*without a dot"),
        (lambda model: {"act": nn.ReLU()}, "'act'.*no parameter that takes gradients"),
        (lambda model: {"copy": copy.deepcopy(model).requires_grad_(False)}, "'copy'.*no parameter"),
        (lambda model: {"far": nn.Linear(2, 2, device="meta")}, "'far'.*weight is on meta, the model on cpu.*to"),
        (lambda model: {"tower": model.visual}, "'tower'.*belongs to the model too"),
        (lambda model: dict.fromkeys(("a", "b"), linear()), "'b'.*weight belongs to 'a' too"),
        (lambda model: {"mask": torch.ones(3, requires_grad=True)}, "'mask'.*is a Tensor, not a module.*ParameterDict"),
    ],
)
def test_what_cannot_be_trained_beside_is_told_and_changes_nothing(also, words):
    model = tiny_model()
    before = values(model)
    with pytest.raises(MethodError, match=words):
        run(model, lambda step: model.logit_scale, 1, also=also(model))
    assert not moved(model, before) and not model.training and all(p.requires_grad for p in model.parameters())
