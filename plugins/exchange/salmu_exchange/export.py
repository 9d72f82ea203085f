"""``salmu export``: a run's scores as a file that others read. Light to import."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from salmu_core.cli.options import Json

app = typer.Typer()


class Format(StrEnum):
    """Whose files are written."""

    SALMUBENCH = "salmubench"


@app.command()
def export(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run folder, or a reference model's: runs/BENCHMARK/_references/clean.", show_default=False
        ),
    ],
    form: Annotated[Format, typer.Option("--format", help="Whose files are written.")] = Format.SALMUBENCH,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where the file is written; one of its name is replaced.")
    ] = Path(),
    as_json: Json = False,
) -> None:
    """Write a run's scores as the result file of SALMUBench's own evaluator, evaluation_NAME.json.

    It has the ten figures, and the rank and both cosines of each row of the forget set in the order of the shards. What
    was not measured is -1, as there.
    """
    import json

    from salmu_core.cli.output import print_json, say
    from salmu_core.disk.files import write_text
    from salmu_core.judge.single import read_scored
    from salmu_exchange.models import evaluation_of, slug_of

    model = read_scored(run)
    evaluation = evaluation_of(model)
    path = out / f"evaluation_{slug_of(model)}.json"
    write_text(path, json.dumps(evaluation.as_json(), allow_nan=False) + "\n")
    drawn = model.metrics.metrics["RetFail"].details.get("draw")
    rows = len(next(iter(evaluation.rows.values())))
    if as_json:
        print_json({"file": str(path), "format": form.value, "rows": rows, "draw": drawn})
        return
    say(f"{path}: ten figures, {rows:,} rows.")
    if drawn != "rows":
        say("Its ranks are not among the captions that the authors draw, as they are on salmubench.", stderr=True)
