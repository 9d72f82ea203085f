"""What is installed: declarations by name, each with the distribution it came with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.plugins.allowed import left_out
from salmu_core.plugins.catalogue import Declaration

if TYPE_CHECKING:
    from salmu_core.contract.attack import AttackSpec
    from salmu_core.contract.specs import BenchmarkSpec, MethodSpec, MetricSpec

    S = TypeVar("S", MethodSpec, MetricSpec, BenchmarkSpec, AttackSpec)
else:  # naming them would cost importing pydantic
    S = TypeVar("S")


@dataclass(frozen=True)
class Declared(Generic[S]):
    """A declaration and the distribution it came with.

    Attributes:
        module: The entry point's value.
        data: The spec as JSON; None for one that JSON has no words for.
        load: Imports the plugin and returns the whole spec; `spec` is the same, once.
    """

    distribution: str
    version: str
    module: str
    data: Declaration | None = field(repr=False)
    load: Callable[[], S] = field(repr=False, compare=False)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it says of itself, by field, as JSON has it; a function is whether it is there. Imports nothing."""
        return {**self.data.data, **dict.fromkeys(self.data.functions, True)} if self.data else dict(self.spec)

    @property
    def schemas(self) -> Mapping[str, Mapping[str, Any]]:
        """JSON schema of each class that the spec names, by field, such as ``config``."""
        return self.data.schemas if self.data else {}

    @property
    def over(self) -> str | None:
        """Of a method that stands on another one's loss, the one it takes unless it is told otherwise."""
        loss = self.schemas.get("config", {}).get("properties", {}).get("loss", {})
        return str(loss["default"]) if loss.get("wraps") else None

    @property
    def tags(self) -> tuple[str, ...]:
        """The kinds of a method: those it says, and ``wrapper`` of one that stands on another one's loss."""
        return (*self.facts["tags"], *(("wrapper",) if self.over else ()))

    @cached_property
    def card(self) -> S:
        """What it says of itself: the spec, whose functions only stand there, and without its classes of settings."""
        from salmu_core.contract.hookspecs import HOOKS

        card: S = self.data.card(HOOKS) if self.data else self.spec
        return card

    @cached_property
    def spec(self) -> S:
        """The whole declaration; the plugin is imported now, if it was not.

        Raises:
            UsageError: It can't be imported any more, or no longer declares this.
        """
        return self.load()

    @classmethod
    def of(cls, spec: S, distribution: str, version: str, module: str) -> Declared[S]:
        """A declaration that is at hand; one that JSON has no words for is its own card."""
        return cls(distribution, version, module, as_data(spec), lambda: spec)


@dataclass(frozen=True)
class PluginRow:
    """One entry point: what it declares, or why it can't be used."""

    name: str
    distribution: str
    version: str
    module: str
    declares: tuple[str, ...] = ()
    problem: str | None = None
    traceback: str | None = None

    def stands_for(self, kind: str, name: str) -> bool:
        """Whether it declares something, or is called so and declares nothing that can be seen."""
        return f"{kind} {name}" in self.declares or (self.name == name and not self.declares)


class Shelf(Mapping[str, Declared[S]], Generic[S]):
    """Declarations of one kind by name; asking for another says why it can't be used, or names what comes near."""

    def __init__(self, kind: str, items: Mapping[str, Declared[S]], broken: Sequence[PluginRow] = ()) -> None:
        self._kind = kind
        self._broken = broken
        self._items: dict[str, Declared[S]] = dict(sorted(items.items(), key=lambda item: item[0].lower()))

    def __getitem__(self, name: str) -> Declared[S]:
        try:
            return self._items[name]
        except KeyError:
            for row in self._broken:
                if row.problem and row.stands_for(self._kind, name):
                    message = f"The {self._kind} {name!r} of {row.distribution} can't be used: {row.problem}"
                    raise UsageError(message) from None
            raise UnknownNameError(
                self._kind, name, self._items, f"`salmu {self._kind}s` lists what is installed.{left_out()}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


@dataclass(frozen=True)
class Zoo:
    """Everything that is installed and sound, and a row for every plugin, sound or not."""

    methods: Shelf[MethodSpec]
    metrics: Shelf[MetricSpec]
    benchmarks: Shelf[BenchmarkSpec]
    attacks: Shelf[AttackSpec]
    plugins: tuple[PluginRow, ...] = field(default_factory=tuple)

    @property
    def shelves(self) -> dict[str, Shelf[Any]]:
        """Kind of declaration -> those of it."""
        return {"method": self.methods, "metric": self.metrics, "attack": self.attacks, "benchmark": self.benchmarks}

    @property
    def problems(self) -> tuple[PluginRow, ...]:
        """The rows of plugins that can't be used, or only in part."""
        return tuple(row for row in self.plugins if row.problem)


def as_data(spec: Any) -> Declaration | None:
    """A spec as data, or nothing where something of it can't be written as JSON and read again."""
    from salmu_core.contract.hookspecs import HOOKS

    try:
        data = Declaration.of(spec, HOOKS)
        data.card(HOOKS)
    except Exception:  # a plugin's own validators and serialisers: anything can come out of them
        return None
    return data
