"""How a reference pair is trained, in one frozen record. The defaults are open_clip's published ones for ViT-B/16."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from salmu_core.disk.reading import parse_json, read_toml
from salmu_core.errors import FileError, UsageError, explain
from salmu_core.train.settings import Pretraining


class Recipe(Pretraining):
    """Everything that decides what a pair becomes, but the data. Another recipe is another pair."""

    arch: str = Field(
        default="ViT-B-16", min_length=1, description="An open_clip architecture, or a JSON file that describes one."
    )
    epochs: float = Field(default=32, gt=0, allow_inf_nan=False, description="Passes over the retain pairs.")
    steps: int | None = Field(default=None, ge=1, description="Steps in all, instead of `epochs`.")
    batch: int = Field(default=32768, ge=2, description="Retain pairs of a batch, over all processes together.")
    sensitive_passes: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="How often Compromised sees each sensitive pair; by default as often as a retain pair.",
    )
    init_logit_scale: float = Field(
        default=1 / 0.07, gt=1, allow_inf_nan=False, description="The inverse temperature at the start."
    )
    crop_scale: tuple[float, float] = Field(
        default=(0.9, 1.0), description="Shares of the area that random crops are drawn between, as open_clip does."
    )
    precision: Literal["no", "bf16", "fp16"] | None = Field(
        default=None, description="Mixed precision; by default as accelerate is configured."
    )
    shuffle: int = Field(
        default=262_144,
        ge=1,
        description="Pairs that are shuffled among each other. Shards are shuffled as wholes, over the whole epoch.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the start weights, the order and the random crops.")

    @model_validator(mode="after")
    def _sound(self) -> Recipe:
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError("crop_scale must be two shares, the smaller first, as in [0.9, 1.0]")
        return self

    def total_steps(self, retain: int) -> int:
        """Steps of a training on so many retain pairs.

        Raises:
            UsageError: The warm-up would take all of them.
        """
        steps = self.steps or max(1, round(self.epochs * retain / self.batch))
        if self.warmup >= steps:
            raise UsageError(
                f"A warm-up of {self.warmup:,} steps leaves nothing of {steps:,} steps in all: "
                f"--set warmup={steps // 10}, or more epochs."
            )
        return steps

    def sensitive_draws(self, retain: int, sensitive: int) -> int:
        """Sensitive pairs that Compromised sees over its whole training, repeats counted."""
        passes = self.sensitive_passes
        if passes is None:
            passes = self.total_steps(retain) * self.batch / retain
        return round(passes * sensitive)


def read_recipe(config: Path | None, settings: Iterable[str], arch: str | None) -> Recipe:
    """The recipe of a TOML file, with ``FIELD=VALUE`` texts and the architecture over it.

    Raises:
        UsageError: The file can't be read, a field does not exist, or a value is not allowed.
    """
    values: dict[str, Any] = {}
    where = ""
    if config is not None:
        where = f"{config}: "
        try:
            values = read_toml(config)
        except FileError as error:
            raise UsageError(str(error)) from error
        arch_there = values.get("arch")
        if isinstance(arch_there, str) and arch_there.endswith(".json"):
            values["arch"] = str(config.parent / arch_there)
        _validated(values, where)
    for text in settings:
        field, equals, value = text.partition("=")
        if not (equals and field.strip()):
            raise UsageError(f"--set {text!r} is not of the form FIELD=VALUE, as in lr=5e-4.")
        try:
            values[field.strip()] = parse_json(value)
        except ValueError:
            values[field.strip()] = value
    if arch is not None:
        values["arch"] = arch
    return _validated(values, "")


def _validated(values: dict[str, Any], where: str) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{where}{explain(error, Recipe.model_fields)}") from error
