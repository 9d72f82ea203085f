"""The public interface as data, to hold it against what an API version promised.

uv run python tests/public_api.py     records what has been added; it refuses to take anything away
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel
from typer.main import get_command

from salmu_core import (
    Batch,
    ClipModel,
    Feed,
    MethodContext,
    MetricContext,
    ModelAttackContext,
    QueryContext,
    ReadoutContext,
    Reference,
    Step,
)
from salmu_core.cli import app
from salmu_core.cli.commands import COMMANDS
from salmu_core.contract.hookspecs import HOOKS
from salmu_core.contract.version import API_VERSION

MODULES = ("salmu_core", "salmu_core.losses", "salmu_core.testing")
#: What a plugin is handed and never makes: how it is made is nobody's business.
CONTEXTS = (MethodContext, MetricContext, ModelAttackContext, QueryContext, ReadoutContext)
HANDED = (*CONTEXTS, ClipModel, Step, Batch, Reference, Feed)
#: Name -> its parameters in order: name, whether it must be given, whether by keyword, default; None for what has none.
Interface = dict[str, list[list[Any]] | None]


def record() -> Path:
    """The file of this API version."""
    return Path(__file__).parent / "data" / f"api-{API_VERSION}.json"


def interface() -> Interface:
    """The public interface as it is."""
    members: Interface = {}
    for path in MODULES:
        module = importlib.import_module(path)
        own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == path and not n.startswith("_")]
        for name in getattr(module, "__all__", own):
            members |= dict(_members(f"{path}.{name}", getattr(module, name)))
    members |= {f"hook {name}": None for name in HOOKS}
    commands = get_command(app).commands
    for name in COMMANDS:  # the core's own: other distributions promise theirs
        members |= {f"salmu {name} {'/'.join(p.opts)}": None for p in commands[name].params}
    return dict(sorted(members.items()))


def _members(path: str, value: Any) -> Iterator[tuple[str, list[list[Any]] | None]]:
    if isinstance(value, type) and issubclass(value, BaseModel):
        yield path, None
        for name, field in value.model_fields.items():
            yield f"{path}.{name}", [[name, field.is_required(), True, ""]]
    elif isinstance(value, type):
        made = value not in HANDED and not issubclass(value, Exception)
        yield path, parameters(value) if made else None
        for name in {**vars(value), **inspect.get_annotations(value)}:
            if not name.startswith("_"):
                member = vars(value).get(name)
                yield f"{path}.{name}", parameters(member) if inspect.isfunction(member) else None
    elif isinstance(value, ModuleType):
        yield path, None
        yield from ((f"{path}.{name}", None) for name in vars(value) if name.isupper())
    else:
        yield path, parameters(value) if inspect.isfunction(value) else None


def parameters(function: Any) -> list[list[Any]]:
    """What a function takes."""
    return [
        [
            p.name,
            p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD),
            p.kind is p.KEYWORD_ONLY,
            _default(p),
        ]
        for p in inspect.signature(function).parameters.values()
    ]


def _default(parameter: inspect.Parameter) -> str:
    return repr(parameter.default) if isinstance(parameter.default, str | int | float | bool | tuple | None) else ""


def broken(promised: Interface, current: Interface) -> list[str]:
    """What a plugin written for the promised interface would stumble over."""
    problems = [f"{name} is gone" for name in promised.keys() - current.keys()]
    for name in promised.keys() & current.keys():
        before, now = promised[name] or [], current[name] or []
        known = [argument for argument, *_ in before]
        kept = [argument for argument, *_ in now if argument in known]
        if kept != known:
            problems.append(f"{name} took {', '.join(known)}, now {', '.join(kept)}")
        required = {argument for argument, must, *_ in before if must}
        problems += [f"{name} now needs {argument}" for argument, must, *_ in now if must and argument not in required]
        was = {argument: (keyword, default) for argument, _, keyword, default in before}
        for argument, _, keyword, default in now:
            if argument in was and keyword and not was[argument][0]:
                problems.append(f"{name} takes {argument} by keyword only")
            if argument in was and default != was[argument][1] and was[argument][1]:
                problems.append(f"{name} has another default for {argument}")
    return sorted(problems)


if __name__ == "__main__":
    current = interface()
    if record().exists() and (problems := broken(json.loads(record().read_text()), current)):
        raise SystemExit("\n".join(["Another API version would be needed:", *problems]))
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in current.items())
    record().write_text("{\n" + lines + "\n}\n")
