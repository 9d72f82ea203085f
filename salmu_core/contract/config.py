"""What can be set of a method: pydantic models that the command line, the records and the docs are made from."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class MethodConfig(BaseModel):
    """Base of every method's configuration: immutable, closed, every field described and bounded."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


LearningRate = Annotated[float, Field(gt=0, allow_inf_nan=False, description="Peak learning rate.")]
#: The weight of one term of a loss; what it weighs is the field's description.
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class TrainingConfig(MethodConfig):
    """What the training loop reads: AdamW with linear warm-up and cosine decay."""

    lr: LearningRate = 1e-4
    batch_size: int = Field(
        default=16,
        ge=1,
        description="Forget pairs, and as many retain pairs, in one step; no more than the smaller set has.",
    )
    warmup: float = Field(default=0.1, ge=0, le=1, description="Share of the steps with linear warm-up.")
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="AdamW's decoupled weight decay.")
    max_grad_norm: float = Field(
        default=1.0, ge=0, allow_inf_nan=False, description="Gradient clipping norm; 0 switches it off."
    )
