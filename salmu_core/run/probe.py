"""What a probe finds on a fixed slice of the forget and of the retain set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from salmu_core.contract.features import Features
from salmu_core.contract.probe import Probe


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """A block in which a model is in eval mode; afterwards each of its modules is in the mode it was in."""
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def estimate(forget: Features, retain: Features, original: Features) -> Probe:
    """Efficacy and utility on two slices.

    Args:
        forget: Embeddings of the forget slice under the model.
        retain: Of the retain slice.
        original: Of the retain slice under the original.
    """
    gallery = torch.cat([forget.text, retain.text])
    nearest, was_nearest = (features.similarity.argmax(dim=1) for features in (retain, original))
    agreement = float((nearest == was_nearest).float().mean())
    return Probe(*_ranked(forget, gallery, 0), *_ranked(retain, gallery, len(forget.text)), agreement)


def _ranked(features: Features, gallery: Tensor, first: int) -> tuple[float, float]:
    """Mean reciprocal rank of the own captions, from ``first`` on in a gallery, and their mean cosine."""
    # Own and others' scores from one product: computed apart, they would differ in the last bits.
    scores = features.image @ gallery.T
    own = scores[:, first : first + len(scores)].diagonal()
    above = (scores > own[:, None]).sum(dim=1)
    return float((1 / (1 + above)).mean()), float(own.mean())
