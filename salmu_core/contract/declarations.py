"""What a module declares through the hooks, or a sentence about what is wrong with it."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pluggy
from pydantic import ValidationError

from salmu_core.contract import hookspecs
from salmu_core.contract.hookspecs import HOOKS
from salmu_core.contract.kinds import PROJECT
from salmu_core.errors import PluginError, explain


def declarations(point: EntryPoint) -> dict[tuple[str, str], Any]:
    """Hook and name -> what a plugin declares; imports it.

    Raises:
        PluginError: It can't be used.
    """
    with _blamed("can't be imported: "):
        module = point.load()
    with _blamed():
        return _specs(point.name, module)


@contextmanager
def _blamed(where: str = "") -> Iterator[None]:
    """Whatever a plugin raises is a sentence about it; SystemExit too, for it must not end the program."""
    try:
        yield
    except (KeyboardInterrupt, PluginError):
        raise
    except BaseException as error:
        sentence = f"{type(error).__name__}: {error}"
        if isinstance(error, ValidationError) and not where:
            fields = {kind.__name__: kind.model_fields for kind in HOOKS.values()}
            sentence = f"{error.title} can't be made: {explain(error, fields.get(error.title, ()))}"
        raise PluginError(where + sentence) from error


def _specs(name: str, module: object) -> dict[tuple[str, str], Any]:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    _check_spelling(manager, module)
    manager.register(module, name)
    specs: list[tuple[str, Any]] = []
    for hook, kind in HOOKS.items():
        for returned in getattr(manager.hook, hook)():
            if not isinstance(returned, list | tuple):
                raise PluginError(
                    f"{hook}() returned {type(returned).__name__}; it must return a list of {kind.__name__}"
                )
            for item in returned:
                if not isinstance(item, kind):
                    raise PluginError(
                        f"{hook}() returned a {type(item).__name__} in its list; each item must be a {kind.__name__}"
                    )
                specs.append((hook, item))
    twice = [n for (_, n), count in Counter((hook, item.name) for hook, item in specs).items() if count > 1]
    if twice:
        raise PluginError(f"declares {', '.join(map(repr, twice))} more than once")
    if not specs:
        raise PluginError(f"declares nothing: implement one of {', '.join(HOOKS)} with @hookimpl")
    return {(hook, item.name): item for hook, item in specs}


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
        raise PluginError("; ".join(problems))
