"""What one step does with a batch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Optimisation(BaseModel):
    """What one step does with a batch: the loss, AdamW and its schedule."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    lr: float = Field(default=1e-3, ge=0, allow_inf_nan=False, description="Peak learning rate.")
    warmup: int = Field(default=2000, ge=0, description="Steps of linear warm-up; after them, half a cosine to 0.")
    weight_decay: float = Field(default=0.2, ge=0, allow_inf_nan=False, description="AdamW's decoupled weight decay.")
    decay_embeddings: bool = Field(
        default=True, description="Whether token and position embeddings decay; vectors and scalars never do."
    )
    beta1: float = Field(default=0.9, ge=0, lt=1, description="AdamW's first beta.")
    beta2: float = Field(default=0.98, ge=0, lt=1, description="AdamW's second beta.")
    eps: float = Field(default=1e-6, gt=0, allow_inf_nan=False, description="AdamW's epsilon.")
    max_grad_norm: float = Field(
        default=1.0, ge=0, allow_inf_nan=False, description="Gradient clipping norm; 0 switches it off."
    )
    max_logit_scale: float = Field(
        default=100.0, gt=1, allow_inf_nan=False, description="What the learned inverse temperature is clamped to."
    )
    centring: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Weight of a term that keeps the mean cosine of wrong pairs near 0; small models may want 20.",
    )
