"""Which commands there are, and how one is loaded: by its name, when it is named.

Those of the core stand below; those of other distributions are entry points of the group ``salmu.commands``, each a
typer app. One that can't be loaded is a command that says why, and never stands in the way of the others; the names of
the core's own commands can't be taken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from salmu_core.cli.early import begun
from salmu_core.errors import STOPPED, UsageError
from salmu_core.plugins.allowed import VARIABLE, allowed

GROUP = "salmu.commands"
#: The core's own, in the order of `salmu --help`: the module in this room that has a function of that name, and what it
#: does, as its docstring begins.
COMMANDS = {
    "run": ("run", "Unlearn with methods on a benchmark, score the checkpoints, and show the table."),
    "evaluate": ("evaluate", "Score any open_clip model under the protocol, beside the two reference models."),
    "results": ("results", "Show the results of earlier runs, with their references and verdicts."),
    "verify": (
        "verify",
        "Look at all of a results folder, read whole: seals, places, figures against rows and checkpoints, data.",
    ),
    "doctor": ("doctor", "Check the installation, the plugins and a benchmark, and say what is off and what to do."),
    "leaderboard": ("leaderboard", "Print the table for a paper or a README: Markdown, or CSV with every interval."),
    "diff": (
        "diff",
        "Compare two runs row by row: every figure's difference with its interval, and the people it moved most.",
    ),
    "plugins": (
        "listings",
        "List installed plugins, where their code comes from, and what is wrong with those that can't be used.",
    ),
    "methods": ("listings", "List installed unlearning methods, or show one with its settings."),
    "metrics": ("listings", "List installed metrics, or show one in full."),
    "attacks": ("listings", "List installed attacks on unlearned models, or show one with its settings."),
    "benchmarks": ("listings", "List installed benchmarks, or show one and where it lies."),
    "download": ("download", "Fetch a published benchmark into the Hugging Face cache, and check every file of it."),
    "cache": ("cache", "Show what lies in the cache, how large it is and when it was used last; delete of it."),
    "canary": (
        "canary",
        "Check whether a model still gives the embeddings it gave when it was written, or write them down.",
    ),
    "check": ("check", "Examine plugins by the rules of conformance, and print a report for a pull request."),
    "new": (
        "new.command",
        "Make a plugin: a complete package that installs, passes its tests and runs, for you to change.",
    ),
}
#: Commands that people look for, and the distributions that bring them.
BROUGHT_BY = {
    "certify": "salmu-certificate",
    "dataset": "salmu-dataset",
    "export": "salmu-exchange",
    "import": "salmu-exchange",
    "plan": "salmu-plan",
    "plot": "salmu-report",
    "publish": "salmu-publish",
    "references": "salmu-references",
    "report": "salmu-report",
    "reproduce": "salmu-reproduce",
    "tune": "salmu-tune",
}


class Installed(Mapping[str, Any]):
    """Every command by its name, the core's first; one is imported when it is asked for."""

    @cached_property
    def _others(self) -> dict[str, list[EntryPoint]]:
        known = {(point.name, point.value): point for point in allowed(entry_points(group=GROUP))}
        others: dict[str, list[EntryPoint]] = {}
        for name, value in sorted(known):
            if name not in COMMANDS:
                others.setdefault(name, []).append(known[name, value])
        return others

    def __iter__(self) -> Iterator[str]:
        return iter([*COMMANDS, *self._others])

    def __len__(self) -> int:
        return len(COMMANDS) + len(self._others)

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            if name in BROUGHT_BY and name not in self._others:
                off = name in {point.name for point in entry_points(group=GROUP)}
                remedy = f", which {VARIABLE} switches off" if off else f": pip install {BROUGHT_BY[name]}"
                return _broken(name, f"it comes with {BROUGHT_BY[name]}{remedy}")
            return _load(self._others[name])
        app = typer.Typer()
        app.command()(getattr(import_module(f"salmu_core.cli.{COMMANDS[name][0]}"), name))
        return _named(name, app)


class Commands(TyperGroup):
    """All that are installed; their help imports none of the core's."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"commands": Installed()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that was named, which is imported now, and begins."""
        found = super().resolve_command(ctx, args)
        begun()
        return found

    def invoke(self, ctx: Any) -> Any:
        """Carry it out; whoever stops it is told that it was heard."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("Stopped.", file=sys.stderr)
            raise typer.Exit(STOPPED) from None

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands."""
        return list(self.commands)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The list of commands; others than the core's have said only in their modules what they do."""
        known = {name: TyperCommand(name, help=line) for name, (_, line) in COMMANDS.items()}
        commands = {name: known[name] if name in known else self.commands[name] for name in self.commands}
        TyperGroup(name=self.name, help=self.help, params=self.params, commands=commands).format_help(ctx, formatter)


def _load(points: list[EntryPoint]) -> Any:
    """Somebody else's command."""
    name = points[0].name
    if len(points) > 1:
        return _broken(name, f"{' and '.join(point.value for point in points)} both want to be `salmu {name}`")
    try:
        with redirect_stdout(sys.stderr):  # what it prints when it is imported is no part of what it is asked for
            app = points[0].load()
        if not isinstance(app, typer.Typer):
            raise TypeError(f"{points[0].value} is a {type(app).__name__}, not a typer.Typer")
        return _named(name, app)
    except (Exception, SystemExit) as error:  # a plugin's code: anything can come out of it
        return _broken(name, f"{type(error).__name__}: {error}")


def _named(name: str, app: typer.Typer) -> Any:
    command = get_command(app)
    command.name = name
    # Completion is the whole line's, where it is anybody's.
    command.params = [p for p in command.params if p.name not in ("install_completion", "show_completion")]
    return command


def _broken(name: str, reason: str) -> Any:
    """A command that only says why it can't be used."""
    app = typer.Typer(add_completion=False)

    @app.command(name, help=escape(f"Can't be used: {reason}"), context_settings={"ignore_unknown_options": True})
    def say(words: list[str] = typer.Argument(None, hidden=True)) -> None:  # noqa: B008 - typer's own idiom
        raise UsageError(f"`salmu {name}` can't be used: {reason}.")

    return get_command(app)
