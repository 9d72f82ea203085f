"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

#: The names that a model goes by, for help texts.
MODEL = "a folder, `local-dir:PATH`, `hf-hub:OWNER/NAME` (also `...@REVISION`), or `ARCHITECTURE:WEIGHTS`"

Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Output = Annotated[Path, typer.Option(help="Results folder.")]
BenchmarkName = Annotated[
    str | None,
    typer.Option(help="An installed benchmark (`mini`, or `mini@3` for its world 3) or a folder.  [default: mini]"),
]
Worlds = Annotated[
    list[str] | None,
    typer.Option(
        "--world",
        metavar="W[-W][,W...]",
        help="Worlds of an installed benchmark, with other people, data and models in each: 3, or 0-4; repeatable.",
    ),
]
Precision = Annotated[str | None, typer.Option(help="no, bf16 or fp16; by default as accelerate is configured.")]
Threads = Annotated[
    int,
    typer.Option(
        min=1,
        help="CPU threads of a process. They show in the last bits, so their number is fixed and not the machine's.",
        envvar="SALMU_THREADS",
    ),
]
Runs = Annotated[Path, typer.Argument(metavar="[RUNS]", help="Results folder.")]
Which = Annotated[
    str | None,
    typer.Option(
        "--benchmark",
        metavar="NAME|PATH",
        help="Which benchmark's results, where there are several; or the folder its data lie in.",
    ),
]
