"""Who looks on while something is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from salmu_core.contract.progress import OnScalar, OnStep, untold


@dataclass(frozen=True)
class Observer:
    """What is called as a training goes on; by default nothing is.

    Attributes:
        on_step: Every step, or every few.
        on_scalar: Every scalar that goes into a run's record.
        on_optimizer: The optimizer of a loop, before its first step.
        on_terms: A loss's terms by name (a scalar's is ``loss``), not yet differentiated, and what is trained, by name.
        stepping: Gives a block that each step of a loop is made in.
    """

    on_step: OnStep = untold
    on_scalar: OnScalar = untold
    on_optimizer: Callable[[torch.optim.Optimizer], None] = untold
    on_terms: Callable[[Mapping[str, Tensor], Mapping[str, nn.Parameter]], None] = untold
    stepping: Callable[[], AbstractContextManager[None]] = nullcontext


#: Nobody.
UNSEEN = Observer()
