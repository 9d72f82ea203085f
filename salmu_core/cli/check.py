"""``salmu check``: is an installed plugin fit for the zoo?"""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from salmu_core.cli.options import Json
from salmu_core.cli.output import console, print_json, print_text
from salmu_core.contract.settings import Settings, make_config
from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.plugins.zoo import Zoo, discover
from salmu_core.study.parsing import parse_settings
from salmu_core.testing.conformance import RULES, Report, examine

#: Kinds of what has settings.
SETTABLE = ("method", "attack")


def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="What to check.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every installed method, metric, attack and benchmark.")
    ] = False,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds one run on a tiny benchmark may take before it counts as endless.")
    ] = 60,
    as_json: Json = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME.FIELD=VALUE", help="Examine it with a setting, as in salun.loss=delete."),
    ] = None,
) -> None:
    """Examine plugins by the rules of conformance, and print a report for a pull request.

    Methods, metrics and attacks are run several times on a benchmark of a few rows, in processes of their own. Of a
    benchmark, what it declares is looked at. Nothing is written.
    """
    if bool(names) == everything:
        raise UsageError("Name methods, metrics, attacks or benchmarks to check, or give --all.")
    for ending in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, ending):
            signal.signal(getattr(signal, ending), signal.default_int_handler)  # so that nothing is left behind
    zoo = discover(fresh=True)
    given = parse_settings(settings or ())
    wanted = [known for name in names or () for known in _kinds(zoo, name)] or _all(zoo)
    specs = {name: zoo.shelves[kind][name].spec for kind, name in wanted if kind in SETTABLE and name in given}
    if unused := given.keys() - specs.keys():
        raise UsageError(f"--set gives settings for {', '.join(sorted(unused))}: no method or attack that is examined.")
    for name, spec in specs.items():
        make_config(spec, given[name])
    reports = [_examine(kind, name, patience, given.get(name, {})) for kind, name in wanted]
    if as_json:
        print_json([report.as_json() for report in reports])
    else:
        print_text("\n\n".join(report.markdown(RULES[report.kind]) for report in reports) + "\n")
    if not all(report.sound for report in reports):
        raise typer.Exit(1)


def _examine(kind: str, name: str, patience: float, settings: Settings) -> Report:
    with console(stderr=True).status(f"{name}: starting") as status:

        def on_stage(stage: str) -> None:
            status.update(f"{name}: {stage}")

        return examine(kind, name, patience=patience, on_stage=on_stage, **settings)


def _kinds(zoo: Zoo, name: str) -> list[tuple[str, str]]:
    """What a name stands for: a declaration, one of each of several kinds, or a plugin that can't be used."""
    kinds = [(kind, name) for kind, shelf in zoo.shelves.items() if name in shelf]
    broken = next((row for row in zoo.problems if name == row.name or name in _declared(row.declares)), None)
    if not kinds and broken is not None:
        kind = next((d.split()[0] for d in broken.declares if d.split()[-1] == name), "plugin")
        kinds = [(kind, name)]
    if not kinds:
        known = [*(known for shelf in zoo.shelves.values() for known in shelf), *(row.name for row in zoo.problems)]
        raise UnknownNameError(
            "method, metric, attack or benchmark", name, known, "`salmu plugins` lists what is installed."
        )
    return kinds


def _declared(declares: tuple[str, ...]) -> list[str]:
    return [item.split()[-1] for item in declares]


def _all(zoo: Zoo) -> list[tuple[str, str]]:
    broken = [("plugin", row.name) for row in zoo.problems]
    return [*((kind, name) for kind, shelf in zoo.shelves.items() for name in shelf), *broken]
