"""Finds plugins one by one: a broken one becomes a row with a reason, never a crash and never silence.

pluggy itself lets four mistakes pass without a word: a misspelled hook, a forgotten ``@hookimpl``, a
second entry point of one name, and (by ending the whole call) an implementation that raises. Each is
looked for here.

A plugin is imported when its declaration is first needed whole, or when nobody remembers what it declares.
"""

from __future__ import annotations

import sys
import traceback
from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cached_property, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from salmu_core.contract.kinds import KINDS, PROJECT, hook_of
from salmu_core.contract.version import api_problem
from salmu_core.errors import PluginError, UsageError
from salmu_core.machine import cache_folder
from salmu_core.plugins.allowed import allowed
from salmu_core.plugins.catalogue import Catalogue, Entry, key_of
from salmu_core.plugins.code import code_state
from salmu_core.plugins.shelves import Declared, PluginRow, Shelf, Zoo, as_data

__all__ = ["Declared", "PluginRow", "Shelf", "Zoo", "discover", "row_of"]


def discover(points: Iterable[EntryPoint] | None = None, *, fresh: bool = False, kinds: Collection[str] = KINDS) -> Zoo:
    """Look at every entry point of the group ``salmu`` and sort what they declare.

    Args:
        points: The entry points to look at; by default those of all installed distributions that may be used, which
            are remembered.
        fresh: Whether to import every plugin, instead of only those of which nobody remembers what they declare.
        kinds: What those must bring that are imported although it is remembered.

    Raises:
        UsageError: ``SALMU_PLUGINS`` names a plugin that is not installed.
    """
    ordered = sorted(
        allowed(entry_points(group=PROJECT)) if points is None else points, key=lambda p: (p.name, p.value)
    )
    plugins: list[_Plugin] = []
    if distinct := {key_of(point): point for point in ordered}:  # an editable install can list one entry point twice
        catalogue = Catalogue(cache_folder() / "catalogue" if points is None else None)
        loaded = frozenset(sys.modules)
        plugins = [_Plugin(key, point, catalogue, loaded) for key, point in distinct.items()]
        for plugin in plugins:
            plugin.look(kinds if fresh else ())
        catalogue.save()
    rows = [plugin.row for plugin in plugins]
    claims: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, plugin in enumerate(plugins):
        for claim in plugin.declared:
            claims[claim].append(i)
    shelves: dict[str, dict[str, Declared[Any]]] = {kind: {} for kind in KINDS}
    for (hook, name), owners in claims.items():
        if len(owners) > 1:
            _refuse_clash(rows, hook, name, owners)
        else:
            shelves[_kind(hook)][name] = plugins[owners[0]].declared[hook, name]
    whole: dict[str, Any] = {f"{kind}s": Shelf(kind, shelves[kind], rows) for kind in KINDS}
    return Zoo(**whole, plugins=tuple(rows))


def row_of(point: EntryPoint) -> PluginRow:
    """Whose an entry point is; nothing yet of what it declares."""
    facts = point.dist.metadata if point.dist else {"Name": "(no distribution)", "Version": "0"}
    return PluginRow(point.name, facts["Name"], facts["Version"], point.value)


class _Plugin:
    """One entry point, and what it declares: as it is remembered, or as it says when it is imported.

    Args:
        key: What it is remembered by.
        loaded: Modules that were imported before; the code they were made of may be another one by now.
    """

    def __init__(self, key: str, point: EntryPoint, catalogue: Catalogue, loaded: frozenset[str]) -> None:
        self.declared: dict[tuple[str, str], Declared[Any]] = {}
        self._point = point
        self._catalogue = catalogue
        self._key = key
        self._code = code_state(point.value, point.dist)
        self._unread = self._code is not None and not self._code.modules & loaded

    def look(self, fresh: Collection[str]) -> None:
        """Find out what it declares, or what is wrong with it; by importing it, if it brings one of some kinds."""
        known = self._catalogue.recall(self._key, self._code)
        if known and not any(_kind(data.hook) in fresh for data in known.declares):
            self._recall(known)
            return
        row = self.row
        if problem := api_problem(self._point):
            self.row = replace(row, problem=problem)
            return
        try:
            of = partial(Declared.of, distribution=row.distribution, version=row.version, module=row.module)
            self.declared = {key: of(spec) for key, spec in self._specs.items()}
        except PluginError as error:
            lines = traceback.format_exception(error.__cause__ or error)
            self.row = replace(row, problem=str(error), traceback="".join(lines))
            return
        self.row = replace(row, declares=_declares(self.declared))

    @cached_property
    def row(self) -> PluginRow:
        """Whose it is, and what is found out about it."""
        return row_of(self._point)

    def _recall(self, known: Entry) -> None:
        """Take what it declares from memory."""
        source = known.distribution, known.version, self._point.value
        for data in known.declares:
            key = data.hook, data.data["name"]
            self.declared[key] = Declared(*source, data, partial(self._spec, *key))
        self.row = PluginRow(self._point.name, *source, _declares(self.declared))

    def _spec(self, hook: str, name: str) -> Any:
        """One of those it declares, for somebody who has only its card."""
        who = f"The {_kind(hook)} {name!r} of {self.row.distribution} can't be used"
        try:
            return self._specs[hook, name]
        except PluginError as error:
            raise UsageError(f"{who}: {error}") from error
        except KeyError:
            raise UsageError(f"{who}: {self.row.module} no longer declares it") from None
        finally:
            self._catalogue.save()

    @cached_property
    def _specs(self) -> dict[tuple[str, str], Any]:
        """Hook and name -> what it declares; imports it.

        Raises:
            PluginError: It can't be used.
        """
        from salmu_core.contract.declarations import declarations

        try:
            with redirect_stdout(sys.stderr):  # what a plugin prints is no part of any command's output
                specs = declarations(self._point)
        except PluginError:
            self._catalogue.forget(self._key)
            raise
        data = tuple(filter(None, map(as_data, specs.values())))
        unchanged = self._unread and code_state(self._point.value, self._point.dist) == self._code
        known = self._catalogue.recall(self._key, self._code)
        if self._code and unchanged and len(data) == len(specs):
            entry = Entry(self._code.digest, self.row.distribution, self.row.version, data)
            self._catalogue.remember(self._key, self._code, entry)
        elif known and known.declares != data:
            self._catalogue.forget(self._key)
        return specs


def _refuse_clash(rows: list[PluginRow], hook: str, name: str, owners: list[int]) -> None:
    dists = [rows[i].distribution for i in owners]
    for i in owners:
        others = ", ".join(d for j, d in zip(owners, dists, strict=True) if j != i)
        rows[i] = replace(
            rows[i],
            problem=f"the {_kind(hook)} name {name!r} is also declared by {others}: rename it, or uninstall one "
            "of them; neither is used",
        )


def _kind(hook: str) -> str:
    return next(kind for kind in KINDS if hook_of(kind) == hook)


def _declares(declared: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{_kind(hook)} {name}" for hook, name in declared)
