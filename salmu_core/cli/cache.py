"""``salmu cache``: what can be computed again, where it lies, how large it is, and when it was used last."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from filelock import FileLock, Timeout
from rich.table import Table

from salmu_core.cli.options import Json
from salmu_core.cli.output import console, print_json, say
from salmu_core.disk.space import BENCHMARKS, KINDS, LIMIT, Thing, keep_within, remove, size_limit, size_of, things
from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.machine import cache_folder
from salmu_core.show.escape import visible


def cache(
    kinds: Annotated[
        list[str] | None, typer.Argument(metavar="[KIND]...", help="Kinds of things; by default all.")
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete things of these kinds, without a question. No result changes.")
    ] = False,
    limit: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Delete what was not used longest, until the cache holds no more than this, as 50GB. Built benchmarks "
            f"stay. {LIMIT}=SIZE does so all the time.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what lies in the cache, how large it is and when it was used last; delete of it."""
    for kind in kinds or ():
        if kind not in KINDS:
            raise UnknownNameError("kind of thing in the cache", kind, KINDS)
    if limit is not None and (clear or kinds):
        raise UsageError("--limit is for the whole cache: leave out --clear and the kinds.")
    most, wanted = size_limit(), set(kinds or KINDS)
    now = None if limit is None else size_of(limit, "--limit")
    gone: Sequence[Thing] | None = None if now is None else keep_within(now)
    if clear:
        gone = [*remove([thing for thing in things() if thing.kind in wanted and not _busy(thing)])]
    held = [thing for thing in things() if thing.kind in wanted or not kinds]
    if as_json:
        facts = {"folder": visible(cache_folder()), **_sums(held), "limit": most, "kinds": _kinds(held)}
        print_json(facts if gone is None else {**facts, "freed": _sums(gone)})
        return
    if gone is not None:
        say(f"{_size(sum(thing.size for thing in gone))} freed, {_count(len(gone))} deleted.")
    _show(held, most)


def _busy(thing: Thing) -> bool:
    """Whether a benchmark is being built just now; says so."""
    lock = thing.path.with_name(f".{thing.path.name}.lock")
    if thing.kind != BENCHMARKS or not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except (Timeout, OSError):
        say(f"{visible(thing.path)} is left: another process is building it.", stderr=True, style="yellow")
        return True


def _sums(some: Iterable[Thing]) -> dict[str, int]:
    sizes = [thing.size for thing in some]
    return {"entries": len(sizes), "bytes": sum(sizes)}


def _kinds(held: Sequence[Thing]) -> list[dict[str, Any]]:
    """A row for each kind that has something, and for what is nobody's."""
    rows = []
    for name in (*KINDS, ""):
        own = [thing for thing in held if thing.kind == name]
        if own:
            used = max(thing.used for thing in own)
            when = datetime.datetime.fromtimestamp(used, datetime.UTC).isoformat(timespec="seconds")
            purpose = KINDS[name].purpose if name else "not of SALMU, and never deleted"
            evicted = bool(name) and KINDS[name].evicted
            rows.append({"kind": name or None, "purpose": purpose, **_sums(own), "used": when, "evicted": evicted})
    return rows


def _show(held: Sequence[Thing], most: int | None) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "what it is for"):
        table.add_column(column, overflow="fold")
    for column in ("entries", "size", "last used"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in _kinds(held):
        ago = _ago(time.time() - datetime.datetime.fromisoformat(row["used"]).timestamp())
        name = row["kind"] or "(others)"
        table.add_row(name, row["purpose"], f"{row['entries']:,}", _size(row["bytes"]), ago)
    if held:
        console().print(table)
    bound = f"a limit of {_size(most)} ({LIMIT})" if most is not None else f"no limit ({LIMIT} sets one)"
    say(f"{_size(_sums(held)['bytes'])} in {visible(cache_folder())}, {bound}.")


def _size(size: float) -> str:
    power = next((power for power in range(4) if size < 1000 ** (power + 1)), 4)
    return f"{size / 1000**power:.{int(power > 1)}f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def _count(number: int) -> str:
    return f"{number:,} {'entry' if number == 1 else 'entries'}"


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "just now"
