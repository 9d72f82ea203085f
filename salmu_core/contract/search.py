"""What of a method's settings is worth searching: a range, or some values, that a field of its config carries."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class Search:
    """Where a search for a setting looks: from ``low`` to ``high``, or among ``choices``.

    A field carries it in its type, ``Annotated[float, Search(0.1, 10, log=True)]``; of several the last one counts, and
    the field's own bounds cut it. `salmu tune` looks at it, and nothing else does.

    Args:
        low: The least value; of a whole number's field, whole.
        high: The most.
        log: Whether equal factors are equally likely, and not equal differences; needs ``low`` above 0.
        choices: Instead of a range, at least two values.

    Raises:
        ValueError: It is neither a range nor choices, or one that is empty.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.choices:
            if self.low is not None or self.high is not None or self.log or len(set(self.choices)) < 2:
                raise ValueError(f"{self}: give at least two choices, or a range instead of them")
        elif self.low is None or self.high is None or not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"{self}: give a finite range, the lower end first, or choices")
        elif self.log and self.low <= 0:
            raise ValueError(f"{self}: a logarithmic range must begin above 0")

    def __str__(self) -> str:
        if self.choices:
            return f"Search(choices={self.choices!r})"
        return f"Search({self.low!r}, {self.high!r}{', log=True' * self.log})"

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        """What is listed of a field says where a search looks."""
        where = list(self.choices) if self.choices else {"low": self.low, "high": self.high, "log": self.log}
        return {**handler(core_schema), "search": where}

    def within(self, name: str, field: FieldInfo) -> Search:
        """What of it a field allows.

        Raises:
            ValueError: Nothing, or it is a range for what holds no numbers.
        """
        if self.choices:
            allowed = tuple(value for value in self.choices if _allows(field, value))
            if len(allowed) < 2:
                raise ValueError(f"{name} allows {len(allowed)} of what {self} lists: a search needs at least two")
            return replace(self, choices=allowed)
        kinds = {field.annotation, *get_args(field.annotation)}
        default = field.get_default(call_default_factory=True, validated_data={})
        if not kinds & {int, float} or isinstance(default, bool) or not isinstance(default, int | float):
            raise ValueError(f"{name} has {self}, which needs a number as the field's default: list choices instead")
        low, high = self._between(field, whole=float not in kinds)
        if low >= high or not (_allows(field, low) and _allows(field, high)):
            raise ValueError(f"{name} has {self}, a range of which its own bounds leave nothing to search")
        return replace(self, low=low, high=high)

    def _between(self, field: FieldInfo, whole: bool) -> tuple[float, float]:
        """The range, cut by a field's bounds as pydantic keeps them beside its type."""
        assert self.low is not None and self.high is not None
        low, high = self.low, self.high
        for bound in field.metadata:
            if isinstance(bound, Ge | Gt):
                least: Any = bound.ge if isinstance(bound, Ge) else _beside(bound.gt, math.inf, whole)
                low = max(low, least)
            elif isinstance(bound, Le | Lt):
                most: Any = bound.le if isinstance(bound, Le) else _beside(bound.lt, -math.inf, whole)
                high = min(high, most)
        return (math.ceil(low), math.floor(high)) if whole else (low, high)


def searches(config: type[BaseModel]) -> Iterator[tuple[str, Search]]:
    """The fields of a class of settings that are worth searching, and where, within their bounds.

    Raises:
        ValueError: A field allows nothing of its range.
    """
    for name, field in config.model_fields.items():
        if declared := [it for it in field.metadata if isinstance(it, Search)]:
            yield name, declared[-1].within(name, field)


def _beside(bound: Any, towards: float, whole: bool) -> float:
    """The next number after a bound that is not allowed itself."""
    return float(bound + math.copysign(1, towards)) if whole else math.nextafter(bound, towards)


def _allows(field: FieldInfo, value: object) -> bool:
    try:
        TypeAdapter(field.rebuild_annotation()).validate_python(value)
    except ValidationError:
        return False
    return True
