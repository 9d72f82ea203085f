"""What is searched of a method: its declared ranges as Optuna's distributions, the default among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from salmu_core.contract.search import Search, searches
from salmu_core.contract.settings import Settings, make_config
from salmu_core.contract.specs import MethodSpec
from salmu_core.errors import UsageError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Space:
    """What is searched of a method.

    Attributes:
        fields: Searched field -> where, wide enough for the default.
        default: Searched field -> the value that a run has without a search.
        fixed: What the user sets of the others.
    """

    fields: Mapping[str, Search]
    default: Settings
    fixed: Settings

    @classmethod
    def of(cls, method: MethodSpec, usual: Settings, fixed: Settings) -> Space:
        """What a method declares, without what the user fixes.

        Args:
            method: The method.
            usual: What the benchmark recommends; it is the default where there is something.
            fixed: What the user sets.

        Raises:
            UsageError: Nothing is left to search, or a value is not allowed.
        """
        default = make_config(method, {**usual, **fixed})
        fields = {name: search for name, search in searches(method.config) if name not in fixed}
        if not fields:
            why = "all that it declares is set" if fixed else "no field of its settings carries a `Search`"
            raise UsageError(f"{method.name} has nothing to search: {why}.")
        values = {name: getattr(default, name) for name in fields}
        return cls({name: _holding(search, values[name]) for name, search in fields.items()}, values, fixed)

    def distributions(self) -> dict[str, BaseDistribution]:
        """As Optuna has them."""
        return {name: _distribution(search, self.default[name]) for name, search in self.fields.items()}

    def rounded(self, values: Settings) -> Settings:
        """Suggested values as people write them: with three digits, but within the range."""
        return {name: _rounded(values[name], search) for name, search in self.fields.items()}


def _rounded(value: Any, search: Search) -> Any:
    if not isinstance(value, float) or search.choices:
        return value
    assert search.low is not None and search.high is not None
    return float(min(max(float(f"{value:.3g}"), search.low), search.high))


def _holding(search: Search, value: Any) -> Search:
    """A search that the default takes part in, wherever it is."""
    if search.choices:
        return search if value in search.choices else Search(choices=(value, *search.choices))
    assert search.low is not None and search.high is not None
    if search.log and value <= 0:  # on no logarithmic range
        return Search(value, search.high)
    return Search(min(search.low, value), max(search.high, value), log=search.log)


def _distribution(search: Search, default: Any) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if search.choices:
        return CategoricalDistribution(search.choices)
    assert search.low is not None and search.high is not None
    if isinstance(default, int):
        return IntDistribution(int(search.low), int(search.high), log=search.log)
    return FloatDistribution(search.low, search.high, log=search.log)
