"""Commands of other distributions: entry points of the group ``salmu.commands``, each a typer app.

One that can't be loaded is a command that says why, and never stands in the way of the others; the names of the core's
own commands can't be taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperGroup
from typer.main import get_command

from salmu_core.errors import UsageError

GROUP = "salmu.commands"
#: Commands that people look for, and the distributions that bring them.
BROUGHT_BY = {
    "certify": "salmu-certificate",
    "dataset": "salmu-dataset",
    "publish": "salmu-publish",
    "references": "salmu-references",
}


class Plugged(TyperGroup):
    """The core's commands, then everybody else's, which are imported when they are named."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands."""
        return [*self.commands, *dict.fromkeys(point.name for point in self._points())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by name, or None."""
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        points = [point for point in self._points() if point.name == cmd_name]
        if not points and cmd_name in BROUGHT_BY:
            return _broken(cmd_name, f"it comes with {BROUGHT_BY[cmd_name]}: pip install {BROUGHT_BY[cmd_name]}")
        return _load(points) if points else None

    def _points(self) -> Iterator[EntryPoint]:
        known = {(point.name, point.value): point for point in entry_points(group=GROUP)}
        return (known[key] for key in sorted(known) if key[0] not in self.commands)


def _load(points: list[EntryPoint]) -> Any:
    name = points[0].name
    if len(points) > 1:
        return _broken(name, f"{' and '.join(point.value for point in points)} both want to be `salmu {name}`")
    try:
        app = points[0].load()
        if not isinstance(app, typer.Typer):
            raise TypeError(f"{points[0].value} is a {type(app).__name__}, not a typer.Typer")
        command = get_command(app)
    except (Exception, SystemExit) as error:  # a plugin's code: anything can come out of it
        return _broken(name, f"{type(error).__name__}: {error}")
    command.name = name
    return command


def _broken(name: str, reason: str) -> Any:
    """A command that only says why it can't be used."""
    app = typer.Typer(add_completion=False)

    @app.command(name, help=escape(f"Can't be used: {reason}"), context_settings={"ignore_unknown_options": True})
    def say(words: list[str] = typer.Argument(None, hidden=True)) -> None:  # noqa: B008 - typer's own idiom
        raise UsageError(f"`salmu {name}` can't be used: {reason}.")

    return get_command(app)
