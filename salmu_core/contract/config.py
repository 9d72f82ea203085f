"""What can be set of a method: pydantic models that the command line, the records and the docs are made from."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, create_model

from salmu_core.contract.search import Search, searches


class MethodConfig(BaseModel):
    """Base of every method's configuration: immutable, closed, every number finite, every field described."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @classmethod
    def with_defaults(cls, **defaults: Any) -> type[Self]:
        """The same settings with other defaults, as in ``TrainingConfig.with_defaults(lr=3e-5)``.

        Raises:
            ValueError: There is no such field.
        """
        fields: dict[str, Any] = {}
        for name, default in defaults.items():
            if name not in cls.model_fields:
                raise ValueError(f"{cls.__name__} has no field {name!r}; it has {', '.join(cls.model_fields)}")
            fields[name] = copy(cls.model_fields[name])
            fields[name].default = default
        annotated: dict[str, Any] = {name: (field.annotation, field) for name, field in fields.items()}
        return create_model(cls.__name__, __base__=cls, __doc__=cls.__doc__ or "", **annotated)


def check_defaults(config: type[MethodConfig]) -> type[MethodConfig]:
    """A class of settings that can be made without a word.

    Raises:
        ValueError: A field has no default, or one outside its own bounds, or nothing of a range to search is in them.
    """
    required = [name for name, field in config.model_fields.items() if field.is_required()]
    if required:
        raise ValueError(f"{config.__name__} has no default for: {', '.join(required)}")
    config()
    for _ in searches(config):
        pass
    return config


def by_field(config: MethodConfig | Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as it is typed: a wrapped method's settings by names such as ``settings.lr``."""
    own = dict(config) if isinstance(config, Mapping) else config.model_dump(mode="json")
    inner = own.pop("settings") if isinstance(own.get("settings"), dict) else {}
    return own | {f"settings.{name}": value for name, value in inner.items()}


LearningRate = Annotated[float, Field(gt=0, description="Peak learning rate."), Search(1e-6, 1e-2, log=True)]
#: The weight of one term of a loss; what it weighs is the field's description.
Weight = Annotated[float, Field(ge=0), Search(0.1, 10, log=True)]


class Optimisation(BaseModel):
    """AdamW and its schedule, as every training here has them; CLIP's own constants (Radford et al. 2021, table 20)."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    lr: LearningRate = 1e-4
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW's decoupled weight decay.")
    beta1: float = Field(default=0.9, ge=0, lt=1, description="AdamW's first beta.")
    beta2: float = Field(default=0.98, ge=0, lt=1, description="AdamW's second beta.")
    eps: float = Field(default=1e-6, gt=0, description="AdamW's epsilon.")
    schedule: Literal["cosine", "constant"] = Field(
        default="cosine", description="What the learning rate does after its warm-up: half a cosine to 0, or nothing."
    )
    max_grad_norm: float = Field(default=1.0, ge=0, description="Gradient clipping norm; 0 switches it off.")
    max_logit_scale: float = Field(
        default=100.0,
        gt=1,
        description="What the learned inverse temperature is clamped to, unless it is larger to begin with.",
    )


class TrainingConfig(MethodConfig, Optimisation):
    """What the training loop reads: AdamW, its schedule, and the size of a batch."""

    batch_size: int = Field(
        default=16,
        ge=1,
        description="Forget pairs, and as many retain pairs, in one step. Where a set has fewer, those, down to half.",
    )
    warmup: float = Field(default=0.1, ge=0, le=1, description="Share of the steps with linear warm-up.")
