"""``salmu plugins``, ``methods``, ``metrics``, ``attacks``, ``benchmarks``: what is installed, as it is remembered."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from salmu_core.cli.commands import GROUP as COMMANDS
from salmu_core.cli.options import Json
from salmu_core.cli.output import console, print_json, say
from salmu_core.contract.kinds import ATTACK_KINDS, PROJECT, columns_of
from salmu_core.contract.version import API_VERSION, CORE
from salmu_core.disk.reading import read_json
from salmu_core.errors import FileError, UsageError
from salmu_core.plugins.allowed import VARIABLE, allowed, left_out, source
from salmu_core.plugins.named import ENGINES, TRACKERS
from salmu_core.plugins.zoo import Declared, PluginRow, Shelf, Zoo, discover, row_of

#: A bound's name in a JSON schema -> its sign.
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
Name = Annotated[str | None, typer.Argument(help="Show this one in full.")]


def plugins(as_json: Json = False) -> None:
    """List installed plugins, where their code comes from, and what is wrong with those that can't be used."""
    zoo = discover()
    rows = [*_installed(zoo)]
    if as_json:
        fields = ("name", "distribution", "version", "module", "declares", "problem")
        facts = ({"source": code, "used": used} for _, code, used in rows)
        print_json([{f: getattr(row[0], f) for f in fields} | more for row, more in zip(rows, facts, strict=True)])
        return
    table = Table(box=None, pad_edge=False)
    for column in ("plugin", "distribution", "version", "declares, and where its code lies"):
        table.add_column(column, overflow="fold")
    for row, code, used in rows:
        declares = Text(f"problem: {row.problem}", style="red") if row.problem else Text(_brief(row.declares))
        declares = declares if used else Text(f"switched off by {VARIABLE}", style="dim")
        here = code.replace(f"{Path.cwd()}{os.sep}", "")
        table.add_row(Text(row.name), Text(row.distribution), row.version, declares.append(f"\n{here}", style="dim"))
    console().print(table if rows else "No plugin is installed.")
    for row in zoo.problems:
        if row.traceback and os.environ.get("SALMU_DEBUG"):
            say(f"\n{row.name}:\n{row.traceback}", stderr=True)
    say(f"{CORE} {version(CORE)}, API {API_VERSION}", stderr=True, style="dim")


def _installed(zoo: Zoo) -> Iterator[tuple[PluginRow, str, bool]]:
    """Every plugin: what is known of it, where its code comes from, and whether it may be used."""
    known = {(row.name, row.module): row for row in zoo.plugins}
    for kind, group in (("", PROJECT), ("command", COMMANDS), ("tracker", TRACKERS), ("engine", ENGINES)):
        points = {(point.name, point.value): point for point in sorted(entry_points(group=group))}
        usable = {(point.name, point.value) for point in allowed(points.values())}
        for key, point in points.items():
            row = known.get(key) or replace(row_of(point), declares=(f"{kind} {point.name}",) if kind else ())
            yield row, source(point.dist), key in usable


def _brief(declares: tuple[str, ...]) -> str:
    return ", ".join(declares) if len(declares) < 4 else f"{len(declares)} {declares[0].split()[0]}s"


def methods(name: Name = None, as_json: Json = False) -> None:
    """List installed unlearning methods, or show one with its settings."""
    zoo = discover()
    _with_settings(zoo, zoo.methods, name, as_json, last=partial(_fit, zoo, as_json))


def attacks(name: Name = None, as_json: Json = False) -> None:
    """List installed attacks on unlearned models, or show one with its settings."""
    zoo = discover()
    _with_settings(zoo, zoo.attacks, name, as_json, first=_holds)


def _with_settings(
    zoo: Zoo,
    shelf: Shelf[Any],
    name: str | None,
    as_json: bool,
    first: Callable[[Any], dict[str, Any]] = lambda facts: {},
    last: Callable[[Any], dict[str, Any]] = lambda facts: {},
) -> None:
    """A list, or one in full.

    Args:
        first: Gives facts of one kind of declaration only, which stand in the list too.
        last: Gives such facts of the one that is shown in full.
    """
    own = {n: _kinds(d) if shelf is zoo.methods else first(d.facts) for n, d in shelf.items()}
    if name is None:
        items = [
            {"name": n, **own[n], "summary": d.facts["summary"], "paper": d.facts["paper"], **_source(d)}
            for n, d in shelf.items()
        ]
        more = [field for field in ("kind", "tags") if any(facts.get(field) for facts in own.values())]
        shown = ("name", *more, "summary")
        _listing(items, shown, as_json, zoo)
        return
    declared = shelf[name]
    said, settings = declared.facts, declared.schemas.get("config", {})
    facts = {"name": name, **own[name], **{field: said[field] for field in ("summary", "paper", "code", "departures")}}
    facts |= {"known_failures": _known(said["known_failures"]), **_source(declared), **last(said)}
    if as_json:
        print_json({**facts, "config": settings})
        return
    _card(facts)
    console().print(_settings(settings))


def _kinds(method: Declared[Any]) -> dict[str, Any]:
    return {"tags": list(method.tags), "over": method.over or ""}


def _fit(zoo: Zoo, as_json: bool, method: Mapping[str, Any]) -> dict[str, Any]:
    """Which benchmarks a method's settings were chosen for."""
    name = method["name"]
    advised = {n: d.facts["settings"][name] for n, d in zoo.benchmarks.items() if name in d.facts["settings"]}
    return {"chosen_on": method["chosen_on"], "recommended": _recommended(advised, as_json)}


def _recommended(advised: Mapping[str, Any], as_json: bool) -> Any:
    """Settings that are recommended, by name: as data, or a line for all that have the same."""
    from salmu_core.contract.recommended import Recommended

    advices = {name: Recommended.model_validate(advice) for name, advice in advised.items()}
    if as_json:
        return {name: advice.model_dump(mode="json") for name, advice in advices.items()}
    names: dict[str, list[str]] = {}
    for name, advice in advices.items():
        names.setdefault(str(advice), []).append(name)
    return "\n".join(f"{', '.join(same)}: {advice}" for advice, same in names.items())


def _holds(attack: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": next(kind for kind in ATTACK_KINDS if attack[kind]), "given": list(attack["given"])}


def metrics(name: Name = None, as_json: Json = False) -> None:
    """List installed metrics, or show one in full."""
    zoo = discover()
    chosen = list(zoo.metrics.values()) if name is None else [zoo.metrics[name]]
    items = [
        {field: d.facts[field] for field in ("name", "pillar", "target", "role", "summary")}
        | {"reads": list(d.facts["reads"]), "figures": list(columns_of(d.facts["name"], d.facts["figures"]))}
        | {field: d.facts[field] for field in ("paper", "departures")}
        | {"known_failures": _known(d.facts["known_failures"]), **_source(d)}
        for d in chosen
    ]
    if name is None:
        _listing(items, ("name", "pillar", "target", "summary"), as_json, zoo)
    elif as_json:
        print_json(items[0])
    else:
        _card(items[0])


def benchmarks(name: Name = None, as_json: Json = False) -> None:
    """List installed benchmarks, or show one and where it lies."""
    from salmu_core.benchmark.locate import locate
    from salmu_core.contract.layout import MANIFEST

    zoo = discover()
    items = []
    for asked in [name] if name else zoo.benchmarks:
        if (located := locate(asked, zoo)) is None:
            raise UsageError(f"{asked} is a folder; this lists installed benchmarks.")
        declared, world, folder = located
        manifest = folder / MANIFEST
        said = declared.facts
        facts = {"name": said["name"], "world": world, "summary": said["summary"], "notice": said["notice"]}
        facts |= {"recipe": said["version"], "folder": str(folder), "built": manifest.is_file()}
        facts["settings"] = _recommended(said["settings"], as_json)
        facts |= _release(said, manifest) if said["release"] else {}
        items.append({**facts, **_source(declared)})
    if name is None:
        items = [{**item, "state": item.get("state", "built" if item["built"] else "not built")} for item in items]
        _listing(items, ("name", "summary", "state"), as_json, zoo)
    elif as_json:
        print_json(items[0])
    else:
        _card(items[0])


def _release(said: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Where a release comes from, at which commits it lies here, and what is not here."""
    try:
        manifest = read_json(path)
        pinned = {role: entry["commit"] for role, entry in manifest.get("pinned", {}).items()}
        zeroshot = manifest.get("zeroshot")
    except (FileError, KeyError, TypeError, AttributeError):
        pinned, zeroshot = {}, None
    release = dict(said["release"])
    repositories = [
        f"{role}: {dict(release[role])['repo_id']} at {pinned.get(role, dict(release[role])['revision'])}"
        for role in ("data", "clean", "compromised")
    ]
    state = "downloaded" if path.is_file() else f"not downloaded: salmu download {said['name']}"
    return {"state": state, "repositories": repositories, "zeroshot": zeroshot or release["bring"]}


def _known(failures: Mapping[str, str]) -> list[str]:
    return [f"{rule}: {reason}" for rule, reason in failures.items()]


def _source(declared: Declared[Any]) -> dict[str, str]:
    return {"distribution": declared.distribution, "version": declared.version}


def _listing(items: list[dict[str, Any]], columns: tuple[str, ...], as_json: bool, zoo: Zoo) -> None:
    if as_json:
        print_json(items)
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column == "name")
    for item in items:
        table.add_row(*(Text(_word(item[column])) for column in columns))
    console().print(table if items else f"None is installed.{left_out()}")
    for row in zoo.problems:
        say(f"Plugin {row.name}: {row.problem}", stderr=True, style="yellow")


def _card(facts: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in facts.items():
        if value not in (None, "", []):
            table.add_row(key, Text(_word(value)))
    console().print(table)


def _settings(config: Mapping[str, Any]) -> Table:
    table = Table(title="settings", title_justify="left", box=None, pad_edge=False)
    searched = any("search" in schema for schema in config.get("properties", {}).values())
    for column in ("field", "type", "default", *(("searched",) * searched), "meaning"):
        table.add_column(column)
    for field, schema in config.get("properties", {}).items():
        allowed = ", ".join(map(str, schema["enum"])) if "enum" in schema else schema.get("type", "")
        if "type" in schema.get("items", {}):
            allowed += f" of {schema['items']['type']}"
        kind = ", ".join([allowed, *(f"{sign} {schema[key]:g}" for key, sign in _BOUNDS.items() if key in schema)])
        cells = [field, kind, str(schema.get("default")), *([_searched(schema.get("search"))] * searched)]
        table.add_row(*map(Text, (*cells, schema.get("description", ""))))
    return table


def _searched(where: Any) -> str:
    """Where `salmu tune` looks: a range, or some values."""
    if isinstance(where, Mapping):
        return f"{where['low']:g} to {where['high']:g}"
    return ", ".join(map(str, where or ()))


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
