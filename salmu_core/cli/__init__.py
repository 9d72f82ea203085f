"""The command line: arguments only. What a command needs is imported when it runs, so that help is instant."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from salmu_core.errors import SalmuError

app = typer.Typer(
    name="salmu",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Output = Annotated[Path, typer.Option(help="Results folder.")]
Name = Annotated[str | None, typer.Argument(help="Show this one in full.", show_default=False)]
BenchmarkName = Annotated[
    str | None,
    typer.Option(
        help="An installed benchmark (`mini`, or `mini@3` for its world 3) or a folder.  [default: mini]",
        show_default=False,
    ),
]
Worlds = Annotated[
    list[str] | None,
    typer.Option(
        "--world",
        metavar="W[-W][,W...]",
        help="Worlds of an installed benchmark, with other people, data and models in each: 3, or 0-4; repeatable.",
        show_default=False,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(help="no, bf16 or fp16; by default as accelerate is configured.", show_default=False),
]
Threads = Annotated[
    int,
    typer.Option(
        min=1,
        help="CPU threads of a process. They show in the last bits, so their number is fixed and not the machine's.",
        envvar="SALMU_THREADS",
    ),
]


class Kind(StrEnum):
    """What `salmu new` can make."""

    method = "method"
    metric = "metric"
    benchmark = "benchmark"


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        from salmu_core.api import API_VERSION, CORE

        print(f"{CORE} {version(CORE)} (API {API_VERSION})")
        raise typer.Exit


@app.callback()
def salmu(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the versions of core and API."),
    ] = False,
) -> None:
    """Run, judge and compare unlearning methods for CLIP models under the SALMUBench protocol."""


@app.command()
def run(
    methods: Annotated[
        list[str] | None, typer.Argument(metavar="[METHOD]...", help="Methods to run.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Run every installed method.")] = False,
    benchmark: BenchmarkName = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="B[,B...]",
            help="Pairs a method may see, in units of the forget set's size: 5, or 1,5; repeatable.  [default: 5]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="S[-S][,S...]", help="Seeds: 3, or 0-4, or 0,2,5; repeatable.  [default: 0]", show_default=False
        ),
    ] = None,
    world: Worlds = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="METHOD.FIELD=VALUE",
            help="Set a method's field; repeatable.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A study file (TOML); options go over it.", show_default=False)
    ] = None,
    output: Output = Path("runs"),
    redo: Annotated[bool, typer.Option("--redo", help="Make finished runs again.")] = False,
    mixed_precision: Precision = None,
    threads: Threads = 1,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes the runs are spread over.  [default: one for an accelerator, else a core each, at most 4]",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Unlearn with methods on a benchmark, score the checkpoints, and show the table.

    Finished runs are kept and never made again. Under `accelerate launch` the runs are shared out among the
    processes.
    """
    from salmu_core.cli.run import Request, run_study

    request = Request(
        methods=methods or [],
        everything=everything,
        benchmark=benchmark,
        budgets=budget or [],
        seeds=seed or [],
        worlds=world or [],
        settings=settings or [],
        config=config,
        output=output,
        redo=redo,
        mixed_precision=mixed_precision,
        threads=threads,
        processes=processes,
        as_json=as_json,
    )
    raise typer.Exit(run_study(request))


@app.command()
def evaluate(
    checkpoint: Annotated[
        str, typer.Argument(help="An open_clip model: a folder, `local-dir:PATH` or `hf-hub:OWNER/NAME`.")
    ],
    benchmark: BenchmarkName = None,
    output: Output = Path("runs"),
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Score any open_clip model under the protocol, beside the two reference models."""
    from salmu_core.cli.evaluate import evaluate_checkpoint

    raise typer.Exit(evaluate_checkpoint(checkpoint, benchmark or "mini", output, threads, as_json))


@app.command()
def results(
    output: Output = Path("runs"),
    benchmark: Annotated[
        str | None,
        typer.Option(
            help="Which benchmark's results: `mini` for all its worlds, or a folder there, as in `mini@3`.",
            show_default=False,
        ),
    ] = None,
    world: Worlds = None,
    as_json: Json = False,
) -> None:
    """Show the results of earlier runs, with their references and verdicts."""
    from salmu_core.cli.results import show_results

    show_results(output, benchmark, world or [], as_json)


@app.command()
def plugins(as_json: Json = False) -> None:
    """List installed plugins, and say what is wrong with those that can't be used."""
    from salmu_core.cli import inspect

    inspect.plugins(as_json)


@app.command()
def methods(name: Name = None, as_json: Json = False) -> None:
    """List installed unlearning methods, or show one with its settings."""
    from salmu_core.cli import inspect

    inspect.methods(name, as_json)


@app.command()
def metrics(name: Name = None, as_json: Json = False) -> None:
    """List installed metrics, or show one in full."""
    from salmu_core.cli import inspect

    inspect.metrics(name, as_json)


@app.command()
def benchmarks(name: Name = None, as_json: Json = False) -> None:
    """List installed benchmarks, or show one and where it lies."""
    from salmu_core.cli import inspect

    inspect.benchmarks(name, as_json)


@app.command()
def doctor(
    benchmark: BenchmarkName = None,
    output: Output = Path("runs"),
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Check the installation, the plugins and a benchmark, and say what is off and what to do.

    The benchmark is built if it has to be. Its reference models are scored twice: the figures must lie where the
    benchmark says, and repeat to the last bit.
    """
    from salmu_core.cli.doctor import examine

    raise typer.Exit(examine(benchmark or "mini", output, threads, as_json))


@app.command()
def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Methods or metrics.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every installed method and metric.")] = False,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds one run on a tiny benchmark may take before it counts as endless.")
    ] = 60,
    as_json: Json = False,
) -> None:
    """Examine plugins by the rules of conformance, and print a report for a pull request.

    Each is run several times on a benchmark of a few rows, in processes of its own. Nothing is written.
    """
    from salmu_core.cli.check import check as examine

    raise typer.Exit(examine(names or [], everything, patience, as_json))


@app.command()
def new(
    kind: Annotated[Kind, typer.Argument(help="What to make.", show_default=False)],
    name: Annotated[
        str,
        typer.Argument(help="Its name: words like `my-method`, for a metric also `MyMetric`.", show_default=False),
    ],
    into: Annotated[
        Path | None, typer.Option(help="The folder to make.  [default: salmu-NAME]", show_default=False)
    ] = None,
    edit: Annotated[bool, typer.Option("--edit", help="A method that edits weights instead of training.")] = False,
) -> None:
    """Make a plugin: a complete package that installs, passes its tests and runs, for you to change."""
    from salmu_core.cli.new import make

    make(kind.value, name, into, edit)


def main() -> None:
    """Entry point of ``salmu``: errors meant for people become a sentence and an exit code.

    ``SALMU_DEBUG=1`` shows their traceback instead.
    """
    try:
        app()
    except SalmuError as error:
        if os.environ.get("SALMU_DEBUG"):
            raise
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `salmu results | head`: whoever read has read enough
        sys.stdout = None
        sys.exit(0)
    except OSError as error:  # a disk that is full, a folder that can't be written
        if os.environ.get("SALMU_DEBUG"):
            raise
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)
