"""Settings, by whomever they are given, as the configuration of a method or an attack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from salmu_core.contract.attack import AttackSpec
from salmu_core.contract.config import MethodConfig
from salmu_core.contract.recommended import Recommended
from salmu_core.contract.specs import MethodSpec
from salmu_core.errors import UnknownNameError, UsageError, explain
from salmu_core.machine import holds_secret

Settings = dict[str, Any]


def over(own: Mapping[str, Any], usual: Mapping[str, Any]) -> Settings:
    """Settings over others: of a field that is a table in both, entry by entry."""
    both = {name: usual[name] for name in own if isinstance(own[name], dict) and isinstance(usual.get(name), dict)}
    return {**usual, **own, **{name: {**table, **own[name]} for name, table in both.items()}}


def make_config(spec: MethodSpec | AttackSpec, settings: Settings) -> MethodConfig:
    """A method's or an attack's configuration with some fields set.

    Raises:
        UnknownNameError: A field does not exist.
        UsageError: A value is not allowed, or is a secret, which no record may keep.
    """
    for field, value in settings.items():
        if holds_secret(str(value)):
            raise UsageError(
                f"{spec.name}.{field} is set to a token or a password. Settings stand in every record, and records are "
                "handed on: let the plugin read it from a variable of the environment instead."
            )
        if field not in spec.config.model_fields:
            inner = f"What it wraps has its own: {spec.name}.settings.{field}." * (
                "settings" in spec.config.model_fields
            )
            raise UnknownNameError(f"setting of {spec.name}", field, spec.config.model_fields, inner)
    try:
        return spec.config.model_validate(settings)
    except ValidationError as error:
        raise UsageError(f"{spec.name}: {explain(error, spec.config.model_fields)}") from error


def fitting(method: MethodSpec, recommended: Recommended, benchmark: str) -> Settings:
    """What a benchmark recommends for a method, which allows it.

    Raises:
        UsageError: The method has no such field, or refuses a value.
    """
    try:
        make_config(method, dict(recommended.config))
    except UsageError as error:
        raise UsageError(
            f"What {benchmark} recommends for {method.name} can't be used: {error} One of the two may be older than "
            "the other is made for: update both, or tell whoever wrote the recommendation."
        ) from error
    return dict(recommended.config)
