"""The public interface as data, to hold it against what an API version promised.

uv run python tests/public_api.py     records what has been added; it refuses to take anything away
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from typer.main import get_command

from salmu_core.cli import app
from salmu_core.contract.hookspecs import HOOKS
from salmu_core.contract.version import API_VERSION

MODULES = ("salmu_core", "salmu_core.losses", "salmu_core.benchmark.writer", "salmu_core.testing")
#: What a plugin is handed without importing it.
HANDED = (
    "salmu_core.contract.features.Features",
    "salmu_core.contract.features.Pairs",
    "salmu_core.contract.context.Room",
    "salmu_core.contract.probe.Probe",
)
#: Name -> its parameters in order: name, whether it must be given, whether by keyword, default; None for what has none.
Interface = dict[str, list[list[Any]] | None]


def record() -> Path:
    """The file of this API version."""
    return Path(__file__).parent / "data" / f"api-{API_VERSION}.json"


def interface() -> Interface:
    """The public interface as it is."""
    found: Interface = {}
    for module in MODULES:
        held = importlib.import_module(module)
        own = [n for n, v in vars(held).items() if getattr(v, "__module__", "") == module and not n.startswith("_")]
        for name in getattr(held, "__all__", own):
            found |= dict(_members(f"{module}.{name}", getattr(held, name)))
    for path in HANDED:
        module, _, name = path.rpartition(".")
        found |= dict(_members(path, getattr(importlib.import_module(module), name)))
    found |= {f"hook {name}": None for name in HOOKS}
    for path, command in _commands("salmu", get_command(app)):
        found |= {f"{path} {'/'.join(p.opts)}": None for p in command.params}
    return dict(sorted(found.items()))


def _commands(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    """The core's commands, also those below others."""
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        yield from _commands(f"{path} {name}", command) if hasattr(command, "commands") else ()


def _members(path: str, value: Any) -> Iterator[tuple[str, list[list[Any]] | None]]:
    if isinstance(value, type) and issubclass(value, BaseModel):
        yield path, None
        for name, field in value.model_fields.items():
            yield f"{path}.{name}", [[name, field.is_required(), True, ""]]
    elif isinstance(value, type):
        yield path, None if issubclass(value, Warning) else parameters(value)
        for name, member in vars(value).items():
            if not name.startswith("_"):
                yield f"{path}.{name}", parameters(member) if inspect.isfunction(member) else None
    else:
        yield path, parameters(value) if inspect.isfunction(value) else None


def parameters(function: Any) -> list[list[Any]]:
    """What a function takes."""
    return [
        [p.name, p.default is p.empty and p.kind is not p.VAR_KEYWORD, p.kind is p.KEYWORD_ONLY, _default(p)]
        for p in inspect.signature(function).parameters.values()
    ]


def _default(parameter: inspect.Parameter) -> str:
    return repr(parameter.default) if isinstance(parameter.default, str | int | float | bool | tuple | None) else ""


def broken(promised: Interface, current: Interface) -> list[str]:
    """What a plugin written for the promised interface would stumble over."""
    problems = [f"{name} is gone" for name in promised.keys() - current.keys()]
    for name in promised.keys() & current.keys():
        before, now = promised[name] or [], current[name] or []
        known = [each for each, *_ in before]
        kept = [each for each, *_ in now if each in known]
        if kept != known:
            problems.append(f"{name} took {', '.join(known)}, now {', '.join(kept)}")
        required = {each for each, must, *_ in before if must}
        problems += [f"{name} now needs {each}" for each, must, *_ in now if must and each not in required]
        was = {each: (keyword, default) for each, _, keyword, default in before}
        for each, _, keyword, default in now:
            if each in was and keyword and not was[each][0]:
                problems.append(f"{name} takes {each} by keyword only")
            if each in was and default != was[each][1] and was[each][1]:
                problems.append(f"{name} has another default for {each}")
    return sorted(problems)


if __name__ == "__main__":
    found = interface()
    if record().exists() and (problems := broken(json.loads(record().read_text()), found)):
        raise SystemExit("\n".join(["Another API version would be needed:", *problems]))
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items())
    record().write_text("{\n" + lines + "\n}\n")
