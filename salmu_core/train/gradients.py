"""Gradients without an optimizer."""

from __future__ import annotations

from functools import partial

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from salmu_core.losses import total
from salmu_core.train.loop import Objective, checked, training
from salmu_core.train.pieces import Pieces


def mean_gradients(
    model: nn.Module, objective: Objective, steps: int, power: int, accelerator: Accelerator, pieces: Pieces
) -> dict[str, Tensor]:
    """The mean over steps of the gradient of ``objective(step)``, raised to a power.

    Args:
        model: Stays as it is.
        objective: A scalar, or named scalars that are summed, for each step number from 0; asked again for the last
            one where memory ran out.
        power: Exponent of each step's gradient.
        accelerator: Gives precision.
        pieces: What the objective encodes with.

    Returns:
        Parameter name -> tensor of its shape, float32.
    """
    with training(model) as trained:
        model.eval()  # or what it normalises by (BatchNorm) would change, and dropout show
        sums = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in trained.items()}

        def differentiate(step: int) -> tuple[Tensor | None, ...]:
            with accelerator.autocast():
                value = total(checked(objective(step)))
            return torch.autograd.grad(value, list(trained.values()), allow_unused=True)

        for step in range(steps):
            gradients = pieces.enough(partial(differentiate, step))
            for name, gradient in zip(trained, gradients, strict=True):
                if gradient is not None:
                    sums[name] += gradient.float().pow(power)
    return {name: value / steps for name, value in sums.items()}
