"""How models are trained, as data. Importing this costs no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from salmu_core.contract.config import Optimisation
from salmu_core.errors import UsageError

#: Whether towers are compiled while they are trained; ``auto`` for where that pays.
Compile = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class Every:
    """How often something is kept that a training can go on from; never, if both are 0.

    Attributes:
        seconds: Of training between two times.
        steps: Instead: steps between two times.
    """

    seconds: float = 300.0
    steps: int = 0

    @classmethod
    def parse(cls, text: str) -> Every:
        """From a time (``90s``, ``10m``, ``2h``), a number of steps (``500``), or ``off`` or ``0`` for never.

        Raises:
            UsageError: It is none of these.
        """
        if re.fullmatch(r"\s*([0-9]{1,9}|off)\s*", text):
            return cls(seconds=0, steps=int(text.replace("off", "0")))
        if (seconds := seconds_of(text)) is None or text.strip()[-1] not in "smhd":
            raise UsageError(f"--checkpoint-every {text!r}: write a time as 90s, 10m or 2h, steps as 500, or off.")
        return cls(seconds)

    @property
    def never(self) -> bool:
        """Whether nothing is kept."""
        return not (self.seconds or self.steps)

    def passed(self, seconds: float, steps: int, share: float = 1.0) -> bool:
        """Whether it is time again after so many seconds and steps, or after a share of what there should be."""
        if self.steps:
            return steps >= self.steps * share
        return 0 < self.seconds * share <= seconds


def seconds_of(text: str) -> float | None:
    """Seconds of a time such as ``90s``, ``10m``, ``1.5h`` or ``600``; None if it is none."""
    parts = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([smhd]?)\s*", text)
    return float(parts[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}[parts[2]] if parts else None


class Pretraining(Optimisation):
    """What one step of contrastive pre-training does with a batch: the loss, AdamW and its schedule."""

    lr: float = Field(default=1e-3, ge=0, allow_inf_nan=False, description="Peak learning rate.")
    warmup: int = Field(default=2000, ge=0, description="Steps of linear warm-up; after them, half a cosine to 0.")
    weight_decay: float = Field(default=0.2, ge=0, allow_inf_nan=False, description="AdamW's decoupled weight decay.")
    decay_embeddings: bool = Field(
        default=True, description="Whether token and position embeddings decay; vectors and scalars never do."
    )
    centring: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Weight of a term that keeps the mean cosine of wrong pairs near 0; small models may want 20.",
    )


class PairConfig(Pretraining):
    """How a benchmark's own two models are trained: one architecture, one start, one recipe."""

    model_cfg: dict[str, Any] = Field(description="The architecture, as open_clip's ``model_cfg``.")
    preprocess_cfg: dict[str, Any] = Field(description="What images go through, as open_clip's ``preprocess_cfg``.")
    steps: int = Field(ge=1, description="Steps of each model's training.")
    retain_batch: int = Field(ge=1, description="Retain pairs of every step; no more than there are.")
    sensitive_batch: int = Field(
        ge=1, description="Sensitive pairs that Compromised sees beside them; no more than there are."
    )
    init_logit_scale: float = Field(
        default=1 / 0.07, gt=1, allow_inf_nan=False, description="The inverse temperature at the start."
    )
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="Decides the start weights, and the order of pairs given as rows."
    )
    decay_embeddings: bool = Field(
        default=False,
        description="Whether token and position embeddings decay, those of words that no caption has too.",
    )

    @property
    def open_clip_config(self) -> dict[str, Any]:
        """Content of ``open_clip_config.json``."""
        return {"model_cfg": self.model_cfg, "preprocess_cfg": self.preprocess_cfg}
