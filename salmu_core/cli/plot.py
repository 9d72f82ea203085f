"""``salmu plot``: the report's pictures as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salmu_core.cli.options import Runs, Which, Worlds
from salmu_core.cli.output import say
from salmu_core.cli.progress import reporting
from salmu_core.cli.report import compose
from salmu_core.errors import UsageError
from salmu_core.store.files import replacing


def plot(
    runs: Runs = Path("runs"),
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("figures"),
    form: Annotated[str, typer.Option("--format", metavar="svg|png[,...]", help="SVG, PNG or both.")] = "svg",
    benchmark: Which = None,
    world: Worlds = None,
) -> None:
    """Write every figure of the report as a picture for print."""
    from salmu_core.show.page.pictures import FORMATS, draw, figures, file_name

    forms = [name.strip().lower() for name in form.split(",")]
    if unknown := [name for name in forms if name not in FORMATS]:
        raise UsageError(f"--format {unknown[0]}: pictures are written as {' or '.join(FORMATS)}.")
    with reporting(to_stderr=True, what="pictures") as reporter:
        report = compose(runs, benchmark, world or [], 0, [], reporter)
        made = [*figures(report)]
        taken: set[str] = set()
        for number, (name, spec) in enumerate(made):
            reporter.building("drawing", number / len(made))
            called = file_name(name)
            while called in taken:
                called += "-"
            taken.add(called)
            for ending in dict.fromkeys(forms):
                with replacing(out / f"{called}.{ending}") as path:
                    path.write_bytes(draw(spec, ending))
    say(f"{out}: {len(made)} pictures as {', '.join(dict.fromkeys(forms))}")
