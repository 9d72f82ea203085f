"""What plugins declare: frozen pydantic models, and nothing that runs by itself.

Importing this module costs no torch, so listings stay quick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from salmu_core.config import MethodConfig, TrainingConfig
from salmu_core.layout import Split

if TYPE_CHECKING:
    from torch import Tensor

    from salmu_core.context import MethodContext, MetricContext
    from salmu_core.records import MetricResult
    from salmu_core.steps import Step

    Loss = Callable[[MethodContext[Any], Step], Tensor | Mapping[str, Tensor]]
    Unlearn = Callable[[MethodContext[Any]], None]
    Compute = Callable[[MetricContext], MetricResult]
else:  # pydantic only asks whether they can be called; naming the types would cost importing torch
    Loss = Unlearn = Compute = Callable

#: A name as it is typed on the command line and stands in paths: lower case, words joined by hyphens.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=50)]
#: A metric's name as the literature writes it, e.g. ``RetFail``; it becomes a column and a file name.
MetricName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_@-]*$", max_length=50)]
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=300)]
#: Rule of conformance -> why it is known not to hold.
KnownFailures = Mapping[str, Annotated[str, StringConstraints(min_length=10, max_length=300)]]
Link = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]

#: ``progress(stage, fraction)``: what is being done, and how far the whole is, from 0 to 1.
Progress = Callable[[str, float], None]


class Spec(BaseModel):
    """Base of all declarations: immutable, and unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class MethodSpec(Spec):
    """An unlearning method: mathematics as exactly one of ``loss`` or ``unlearn``, and where it comes from."""

    name: Name = Field(description="How it is called on the command line, in paths and in tables.")
    summary: Sentence = Field(description="One sentence, for listings.")
    paper: Link = Field(description="Where the method is published.")
    code: Link | None = Field(default=None, description="Reference implementation, at a commit.")
    departures: str = Field(default="", description="What differs here from the paper, and why.")
    config: type[MethodConfig] = Field(
        default=TrainingConfig, description="The class of its settings; all have defaults."
    )
    loss: Loss | None = Field(
        None,
        description="``loss(ctx, step)``: a scalar, or named scalars that are summed; `fit` minimises it.",
    )
    unlearn: Unlearn | None = Field(default=None, description="``unlearn(ctx)``: changes ``ctx.model`` in place.")
    known_failures: KnownFailures = Field(
        default_factory=dict, description="Rules of conformance (`salmu check`) it is known to break: rule -> reason."
    )

    @field_validator("config")
    @classmethod
    def _has_defaults(cls, config: type[MethodConfig]) -> type[MethodConfig]:
        required = [name for name, field in config.model_fields.items() if field.is_required()]
        if required:
            raise ValueError(f"{config.__name__} has no default for: {', '.join(required)}")
        config()  # a default outside its own bounds is an error of the declaration
        return config

    @model_validator(mode="after")
    def _one_of(self) -> MethodSpec:
        if (self.loss is None) == (self.unlearn is None):
            raise ValueError("give exactly one of 'loss' and 'unlearn'")
        if self.loss is not None and not issubclass(self.config, TrainingConfig):
            raise ValueError("a method given by its 'loss' needs a config derived from TrainingConfig")
        return self


class MetricSpec(Spec):
    """A metric: what it reads, what value it should reach, and the function that computes it."""

    name: MetricName = Field(description="As the literature writes it; a column carries it.")
    summary: Sentence = Field(description="One sentence, for listings.")
    pillar: Literal["efficacy", "utility", "robustness", "efficiency"] = Field(description="The group it is shown in.")
    target: Literal["clean", "compromised"] = Field(
        description="The reference model whose value an unlearned model should have."
    )
    reads: tuple[Split, ...] = Field(min_length=1, description="Splits it may read; others raise.")
    figures: tuple[MetricName, ...] = Field(default=(), description="Names of its figures, if several; else its own.")
    primary: bool = Field(default=False, description="Whether it leads its pillar: judged more strictly, shown first.")
    compute: Compute = Field(description="``compute(ctx)``: returns a `MetricResult`.")
    paper: Link = Field(description="Where it is published.")
    departures: str = Field(default="", description="What differs here from the paper, and why.")
    known_failures: KnownFailures = Field(
        default_factory=dict, description="Rules of conformance (`salmu check`) it is known to break: rule -> reason."
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """The names its figures carry in every table and file."""
        return tuple(f"{self.name}_{figure}" for figure in self.figures) or (self.name,)


class Band(Spec):
    """Where a figure of a reference model should lie, whatever machine a benchmark is opened on."""

    model: Literal["clean", "compromised"] = Field(description="The reference model.")
    figure: MetricName = Field(description="The column.")
    low: float = Field(default=-math.inf, description="The least it should be.")
    high: float = Field(default=math.inf, description="The most it should be.")


class BenchmarkSpec(Spec):
    """A benchmark the core can put on disk: a recipe that writes the released layout."""

    name: Name = Field(description="How it is called on the command line, in paths and in tables.")
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.]+$")] = Field(
        description="Changes whenever the recipe's output changes."
    )
    summary: Sentence = Field(description="One sentence, for listings.")
    notice: str = Field(default="", description="A sentence that stands above every table of it.")
    bands: tuple[Band, ...] = Field(
        default=(), description="Where figures of its reference models should lie; `salmu doctor` looks."
    )
    build: Callable[[Path, int, Progress], None] = Field(
        description="``build(folder, world, progress)``: fill an empty folder; same world, same bytes."
    )
