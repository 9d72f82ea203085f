"""The states of all random generators that a run may draw from."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor


def random_states(rng: Generator, device: torch.device) -> tuple[Any, dict[str, Tensor]]:
    """The states of Python's, numpy's and torch's global generators, and of a run's own: as JSON, and as tensors."""
    _, words, *rest = np.random.get_state()
    states = {
        "run": rng.get_state(),
        "torch": torch.get_rng_state(),
        "numpy": torch.from_numpy(np.asarray(words).astype(np.int64)),
    }
    if device.type != "cpu":
        states["device"] = torch.get_device_module(device).get_rng_state(device)
    version, numbers, gauss = random.getstate()
    return {"python": [version, list(numbers), gauss], "numpy": [float(part) for part in rest]}, states


def set_random_states(
    rng: Generator, device: torch.device, facts: Mapping[str, Any], states: Mapping[str, Tensor]
) -> None:
    """Put all generators where `random_states` found them."""
    rng.set_state(states["run"])
    torch.set_rng_state(states["torch"])
    if "device" in states:
        torch.get_device_module(device).set_rng_state(states["device"], device)
    version, numbers, gauss = facts["python"]
    random.setstate((version, tuple(numbers), gauss))
    place, has, cached = facts["numpy"]
    np.random.set_state(("MT19937", states["numpy"].numpy().astype(np.uint32), int(place), int(has), cached))
