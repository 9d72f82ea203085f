"""``salmu import``: a result file of SALMUBench's own evaluator, as a row beside the runs made here. Light."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salmu_core.cli.options import Json, Output

app = typer.Typer()


@app.command("import")
def import_file(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The file, evaluation_NAME.json; without one, what was imported is shown.", show_default=False
        ),
    ] = None,
    output: Output = Path("runs"),
    benchmark: Annotated[
        str, typer.Option(help="The benchmark it is of, or a world of it, as in `mini@3`.")
    ] = "salmubench",
    budget: Annotated[
        float,
        typer.Option(min=0, help="The budget it was unlearned at: it has places among the runs of this budget."),
    ] = 0,
    against: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Say in which rows a run, or a reference model, differs.", show_default=False),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="How far two values of a row may lie apart for --against.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Show a result file of SALMUBench's own evaluator as a row beside the runs made here, and keep it.

    Both reference models must have been scored: they tell whose the rows are. `salmu diff` takes what was imported too.
    """
    import math

    from salmu_core.cli.output import console, print_json, say
    from salmu_core.errors import UsageError
    from salmu_core.judge.compare import compare
    from salmu_core.judge.single import read_scored
    from salmu_core.show import terminal
    from salmu_core.show.table import table
    from salmu_core.store.folders import Store
    from salmu_exchange.differences import differences
    from salmu_exchange.models import evaluation_of, file_names
    from salmu_exchange.shelf import shelve, with_imported

    store, apart = Store(output), []
    for option, number in (("--budget", budget), ("--tolerance", tolerance)):
        if not math.isfinite(number):
            raise UsageError(f"{option} is {number}: give a number.")
    if file is None and against is not None:
        raise UsageError("--against holds a file against a run: give the file too.")
    other = read_scored(against) if against is not None else None
    if file is not None:
        model = shelve(file.expanduser(), store, benchmark, budget)
        if other is not None:
            if other.metrics.data_hash != model.metrics.data_hash:
                raise UsageError(f"{against} is of other data than {benchmark} in {output}: its rows are not the same.")
            apart = differences(evaluation_of(model), evaluation_of(other), file_names(model), tolerance)
    results = with_imported(store, benchmark)
    comparison = compare(results, results.columns)
    if as_json:
        print_json({**comparison.as_json(), "differences": [each.as_json() for each in apart]})
        return
    screen = console()
    screen.print(terminal.render(table(comparison, results.columns), "", screen.width))
    if file is not None:
        say(f"Kept in {model.folder}, without a checkpoint.")
    for each in apart:
        say(str(each))
