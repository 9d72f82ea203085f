"""``salmu reproduce``: does a run come out again as its record says?"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from salmu_core.cli.options import Json
from salmu_core.cli.output import console, print_json, say
from salmu_core.errors import MachineError, UsageError
from salmu_core.show.escape import visible

if TYPE_CHECKING:
    from salmu_reproduce.comparison import Reproduction

app = typer.Typer()


@app.command()
def reproduce(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's folder, runs/BENCHMARK/METHOD/CONFIG/b5-s0, or a copy of it.")
    ],
    benchmark: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="Where its data are, if not where its record says.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep what was made again as this results folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a run again from its record alone, and compare: weights, figures, rows, settings and what it cost.

    Exit code 0 only if everything is the same to the last bit. Nothing of the run itself is changed.
    """
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise UsageError(f"--keep {keep}: it is there already. Give the name of a new folder.")
    with TemporaryDirectory(prefix="salmu-") if keep is None else nullcontext(keep) as place:
        made = _made(run.expanduser(), benchmark, Path(place))
    if as_json:
        print_json(made.as_json())
    else:
        _show(made)
    if not made.equal:
        raise typer.Exit(1)


def _made(run: Path, benchmark: str | None, results: Path) -> Reproduction:
    """The run held against what comes of its record in an empty results folder.

    Raises:
        MachineError: Nothing came of it, which says nothing of the run.
    """
    from salmu_core.cli.progress import reporting
    from salmu_core.plugins.zoo import discover
    from salmu_core.store.folders import Store
    from salmu_core.study.work import carry_out
    from salmu_reproduce.comparison import compare_again
    from salmu_reproduce.repetition import repetition

    zoo, store = discover(), Store(results)
    with reporting(to_stderr=True) as reporter:
        study, overrides, options, request = repetition(run, benchmark, zoo, reporter)
        (work,) = carry_out(study, overrides, zoo, store, options, reporter)
    planned = next(planned for planned in work.plan if planned.request.number == request)
    made = compare_again(run, store.folder(planned.key))
    if made is None:
        raise MachineError(f"{run} was not made again, for the reason above: the same command tries once more.")
    return made


def _show(made: Reproduction) -> None:
    points = Table(box=None, pad_edge=False, show_header=False)
    for point in made.points:
        mark = Text("equal", style="green") if point.equal else Text("differs", style="bold red")
        points.add_row(mark, Text(point.name), Text(visible(point.text)))
    console().print(points)
    if made.surroundings:
        others = Table("made with another", "then", "now", box=None, pad_edge=False)
        for fact in made.surroundings:
            others.add_row(Text(visible(fact.name)), _value(fact.a), _value(fact.b))
        console().print("", others)
    say(f"\n{made.verdict}", style="" if made.equal else "yellow")


def _value(value: Any) -> Text:
    """A version or, of a hash, its beginning."""
    text = "-" if value is None else visible(value)
    return Text(text[:12] if len(text) == 64 and " " not in text else text)
