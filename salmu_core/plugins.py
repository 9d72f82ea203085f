"""Finds plugins one by one: a broken one becomes a row with a reason, never a crash and never silence.

pluggy itself lets four mistakes pass without a word: a misspelled hook, a forgotten ``@hookimpl``, a
second entry point of one name, and (by ending the whole call) an implementation that raises. Each is
looked for here.
"""

from __future__ import annotations

import difflib
import sys
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

import pluggy
from pydantic import ValidationError

from salmu_core.contract import hookspecs
from salmu_core.contract.attack import AttackSpec
from salmu_core.contract.hookspecs import HOOKS, PROJECT
from salmu_core.contract.specs import BenchmarkSpec, MethodSpec, MetricSpec
from salmu_core.contract.version import api_problem
from salmu_core.errors import UnknownNameError, UsageError, explain
from salmu_core.store.hashing import hash_file, hash_json, hash_text

S = TypeVar("S", MethodSpec, MetricSpec, BenchmarkSpec, AttackSpec)


@dataclass(frozen=True)
class Declared(Generic[S]):
    """A declaration and the distribution it came with."""

    spec: S
    distribution: str
    version: str
    module: str


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
                self._kind, name, self._items, f"`salmu {self._kind}s` lists what is installed."
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
    def problems(self) -> tuple[PluginRow, ...]:
        """The rows of plugins that can't be used, or only in part."""
        return tuple(row for row in self.plugins if row.problem)


def discover(points: Iterable[EntryPoint] | None = None) -> Zoo:
    """Load every entry point of the group ``salmu`` and sort what they declare.

    Args:
        points: The entry points to look at; by default those of all installed distributions.
    """
    ordered = sorted(entry_points(group=PROJECT) if points is None else points, key=lambda p: (p.name, p.value))
    with redirect_stdout(sys.stderr):  # what a plugin prints when it is imported is no part of any command's output
        loaded = [_load(point) for point in _distinct(ordered)]
    rows = [row for row, _ in loaded]
    claims: dict[tuple[type, str], list[int]] = defaultdict(list)
    for i, (_, specs) in enumerate(loaded):
        for spec in specs:
            claims[type(spec), spec.name].append(i)
    shelves: dict[type, dict[str, Declared]] = {kind: {} for kind in HOOKS.values()}  # type: ignore[type-arg]
    for (kind, name), owners in claims.items():
        if len(owners) > 1:
            _refuse_clash(rows, kind, name, owners)
    for i, (_, specs) in enumerate(loaded):
        row = rows[i]
        for spec in specs:
            if len(claims[type(spec), spec.name]) == 1:
                shelves[type(spec)][spec.name] = Declared(spec, row.distribution, row.version, row.module)
    return Zoo(
        Shelf("method", shelves[MethodSpec], rows),
        Shelf("metric", shelves[MetricSpec], rows),
        Shelf("benchmark", shelves[BenchmarkSpec], rows),
        Shelf("attack", shelves[AttackSpec], rows),
        tuple(rows),
    )


@cache
def code_hash(module: str) -> str:
    """SHA-256 over the sources of a plugin's module or package, found without importing it."""
    spec = find_spec(module.partition(":")[0])
    if spec is None or spec.origin is None:
        return hash_text(module)
    origin = Path(spec.origin)
    files = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
    return hash_json([[str(f.relative_to(origin.parent)), hash_file(f)] for f in files])


def _distinct(points: list[EntryPoint]) -> list[EntryPoint]:
    """Drop exact repetitions: an editable install can list one entry point twice."""
    seen: set[tuple[str, str, str]] = set()
    return [p for p in points if (key := (p.name, p.value, _dist(p)[0])) not in seen and not seen.add(key)]  # type: ignore[func-returns-value]


def _dist(point: EntryPoint) -> tuple[str, str]:
    dist = point.dist
    return (dist.name, dist.version) if dist else ("(no distribution)", "0")


def _load(point: EntryPoint) -> tuple[PluginRow, list[MethodSpec | MetricSpec | BenchmarkSpec | AttackSpec]]:
    name, dist_version = _dist(point)
    row = PluginRow(point.name, name, dist_version, point.value)
    if problem := api_problem(point):
        return replace(row, problem=problem), []
    try:
        module = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin must not end the program by being imported
        return _failed(row, f"can't be imported: {type(error).__name__}: {error}"), []
    try:
        specs = _declarations(point.name, module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return _failed(row, _sentence(error)), []
    return replace(row, declares=tuple(f"{_kind(type(spec))} {spec.name}" for spec in specs)), specs


def _failed(row: PluginRow, problem: str) -> PluginRow:
    return replace(row, problem=problem, traceback=traceback.format_exc())


def _sentence(error: BaseException) -> str:
    if isinstance(error, _BadPluginError):
        return str(error)
    if isinstance(error, ValidationError):
        fields = {kind.__name__: kind.model_fields for kind in HOOKS.values()}
        return f"{error.title} can't be made: {explain(error, fields.get(error.title, ()))}"
    return f"{type(error).__name__}: {error}"


class _BadPluginError(Exception):
    pass


def _declarations(name: str, module: object) -> list[MethodSpec | MetricSpec | BenchmarkSpec | AttackSpec]:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    _check_spelling(manager, module)
    manager.register(module, name)
    specs: list[MethodSpec | MetricSpec | BenchmarkSpec | AttackSpec] = []
    for hook, kind in HOOKS.items():
        for returned in getattr(manager.hook, hook)():
            if not isinstance(returned, list | tuple):
                raise _BadPluginError(
                    f"{hook}() returned {type(returned).__name__}; it must return a list of {kind.__name__}"
                )
            for item in returned:
                if not isinstance(item, kind):
                    raise _BadPluginError(
                        f"{hook}() returned a {type(item).__name__} in its list; each item must be a {kind.__name__}"
                    )
                specs.append(item)
    twice = [n for (_, n), count in Counter((type(s), s.name) for s in specs).items() if count > 1]
    if twice:
        raise _BadPluginError(f"declares {', '.join(map(repr, twice))} more than once")
    if not specs:
        raise _BadPluginError(f"declares nothing: implement one of {', '.join(HOOKS)} with @hookimpl")
    return specs


def _check_spelling(manager: pluggy.PluginManager, module: object) -> None:
    problems = []
    for attribute in dir(module):
        value = getattr(module, attribute, None)
        if not callable(value) or isinstance(value, ModuleType | type):
            continue
        marked = manager.parse_hookimpl_opts(module, attribute) is not None
        if marked and attribute not in HOOKS:
            near = difflib.get_close_matches(attribute, HOOKS, n=1, cutoff=0)
            problems.append(f"there is no hook {attribute!r}: did you mean {near[0]!r}?")
        if attribute in HOOKS and not marked:
            problems.append(f"{attribute}() lacks the @hookimpl decorator")
    if problems:
        raise _BadPluginError("; ".join(problems))


def _refuse_clash(rows: list[PluginRow], kind: type, name: str, owners: list[int]) -> None:
    dists = [rows[i].distribution for i in owners]
    for i in owners:
        others = ", ".join(d for j, d in zip(owners, dists, strict=True) if j != i)
        rows[i] = replace(
            rows[i],
            problem=f"the {_kind(kind)} name {name!r} is also declared by {others}: rename it, or uninstall one "
            "of them; neither is used",
        )


def _kind(spec: type) -> str:
    return spec.__name__.removesuffix("Spec").lower()
