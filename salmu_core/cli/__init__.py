"""The command line: arguments only. What a command needs is imported when it runs, so that help is instant."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from salmu_core.cli import catalogue, hub, showing, workshop
from salmu_core.cli.commands import Plugged
from salmu_core.cli.options import MODEL, BenchmarkName, Json, Output, Precision, Threads, Worlds
from salmu_core.errors import SalmuError

app = typer.Typer(
    name="salmu",
    cls=Plugged,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        from salmu_core.contract.version import API_VERSION, CORE

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
    retain: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHARDS",
            help="Tar files of your own retain pairs, as in 'shards/{00000..00099}.tar'; repeatable.",
            show_default=False,
        ),
    ] = None,
    retain_share: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            help="Share of every retain batch that comes from --retain, the rest being retain_synth.  [default: 0.5]",
            show_default=False,
        ),
    ] = None,
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
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="Follow every run in an experiment tracker: tensorboard, wandb, mlflow, trackio; repeatable.",
            show_default=False,
        ),
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
        retain=retain or [],
        retain_share=retain_share,
        settings=settings or [],
        config=config,
        trackers=tracker or [],
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
    checkpoint: Annotated[str, typer.Argument(help=f"An open_clip model: {MODEL}.", show_default=False)],
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


for command in (
    showing.report,
    showing.leaderboard,
    showing.diff,
    showing.plot,
    catalogue.plugins,
    catalogue.methods,
    catalogue.metrics,
    catalogue.benchmarks,
    hub.download,
    hub.canary,
    workshop.check,
    workshop.new,
):
    app.command()(command)


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
