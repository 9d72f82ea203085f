"""A context and a step whose embeddings are given, so that a loss can be checked against a few lines of numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from salmu_core.contract.config import MethodConfig
from salmu_core.contract.context import MethodContext
from salmu_core.contract.features import Features, Pairs
from salmu_core.contract.steps import Batch, Step


@dataclass(frozen=True)
class FixedPairs:
    """Embeddings of a batch, each ``[b, d]``, under the model and under the original; normalised here."""

    image: np.ndarray
    text: np.ndarray
    reference_image: np.ndarray | None = None
    reference_text: np.ndarray | None = None


class _Model(torch.nn.Module):
    """A CLIP whose towers only normalise: what comes in is the embedding."""

    def __init__(self, logit_scale: float) -> None:
        super().__init__()
        self.logit_scale = torch.nn.Parameter(torch.tensor(logit_scale, dtype=torch.float64).log())

    def encode_image(self, image: Tensor, normalize: bool = False) -> Tensor:
        return torch.nn.functional.normalize(image, dim=-1) if normalize else image

    encode_text = encode_image


class _Batch:
    def __init__(self, pairs: FixedPairs) -> None:
        self.pairs = pairs
        self.image = torch.tensor(pairs.image, dtype=torch.float64, requires_grad=True)
        self.text = torch.tensor(pairs.text, dtype=torch.float64, requires_grad=True)
        self.index = np.arange(len(pairs.image))
        self.captions = tuple(f"caption {row}" for row in self.index)

    def __len__(self) -> int:
        return len(self.image)

    def captioned(self, captions: Sequence[str]) -> _Batch:
        """Itself: its embeddings are of whatever captions a loss gives it."""
        assert len(captions) == len(self)
        return self


class _Context(MethodContext[Any]):
    """What a loss may ask for; a test that needs more makes a run."""

    def features(self, batch: Batch, *more: Batch) -> Any:
        image, text = self.model.encode_image, self.model.encode_text
        pairs = [Features(image(b.image, normalize=True), text(b.text, normalize=True)) for b in (batch, *more)]
        return tuple(pairs) if more else pairs[0]

    def reference_features(self, batch: Batch) -> Features:
        pairs = cast(_Batch, batch).pairs
        if pairs.reference_image is None or pairs.reference_text is None:
            raise ValueError("this batch was given no embeddings of the original")
        return Features(_normalize(pairs.reference_image), _normalize(pairs.reference_text))


def _not_given(name: str) -> property:
    def absent(_: object) -> None:
        raise AssertionError(f"the loss asks for ctx.{name}, which fixed_step does not give: run_method makes a run")

    return property(absent)


def _normalize(x: np.ndarray) -> Tensor:
    return torch.nn.functional.normalize(torch.tensor(x, dtype=torch.float64), dim=-1)


def fixed_step(
    config: MethodConfig,
    forget: FixedPairs | None = None,
    retain: FixedPairs | None = None,
    *,
    permutation: np.ndarray | None = None,
    logit_scale: float = 1.0,
    reference_logit_scale: float = 1.0,
) -> tuple[MethodContext[Any], Step]:
    """A context and a step for ``loss(ctx, step)``, float64 throughout.

    Args:
        config: The method's configuration.
        forget: Embeddings of the forget batch; for an attack, of the leaked one.
        retain: Embeddings of the retain batch.
        permutation: What ``step.permutation`` returns.
        logit_scale: The model's inverse temperature, exponentiated.
        reference_logit_scale: The original's.
    """
    batches = {"forget": forget, "leaked": forget, "retain": retain}

    def draw(pool: str) -> Batch:
        pairs = batches[pool]
        if pairs is None:
            raise AssertionError(f"the loss reads {pool} pairs, which this test did not expect")
        return cast(Batch, _Batch(pairs))

    def permute(n: int) -> Tensor:
        if permutation is None:
            raise AssertionError("the loss asks for a permutation, which this test did not expect")
        assert len(permutation) == n
        return torch.as_tensor(permutation.copy())

    rows = range(len(forget.image) if forget else 0)
    captions, generic = (tuple(f"{kind} {row}" for row in rows) for kind in ("caption", "generic caption"))
    members: dict[str, Any] = {name: _not_given(name) for name in _Context.__abstractmethods__}
    members |= {"config": config, "forget": Pairs(captions, (None,) * len(rows), generic)}
    members |= {"model": _Model(logit_scale), "reference": _Model(reference_logit_scale).requires_grad_(False)}
    fixed: Any = type("_FixedContext", (_Context,), members)
    return fixed(), Step(0, draw, permute)
