"""``salmu tune``: a fair search for settings. Light to import."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from salmu_core.cli.options import BenchmarkName, Json, Output, Precision, Threads, Worlds

app = typer.Typer()
#: A world of `mini` that no table is made of.
WORLD = 200


@app.command()
def tune(
    methods: Annotated[list[str], typer.Argument(metavar="METHOD...", help="Methods to tune.", show_default=False)],
    trials: Annotated[int, typer.Option(min=1, help="Trials of each method, its default among them.")] = 20,
    benchmark: BenchmarkName = None,
    world: Worlds = None,
    budget: Annotated[float, typer.Option(help="Pairs a run may see, in units of the forget set's size.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search and of every run.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="METHOD.FIELD=VALUE", help="Set a field, and do not search it; repeatable."),
    ] = None,
    output: Output = Path("runs"),
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that the runs of a round are spread over.", show_default=False)
    ] = None,
    mixed_precision: Precision = None,
    threads: Threads = 1,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE.tsv", help="Write the log of all trials there, too.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Search for settings of methods, each with as many trials and the same budget, by what `probe()` says alone.

    Holdouts, metrics and Clean are not opened. The default is a trial, so what is chosen is never worse by the probe.
    Without --benchmark and --world that is on `mini@200`, which no table shows. The same command goes on where it
    stopped, and several processes and machines that give it share the work. `salmu run --tuned FOLDER` uses the result.
    """
    from salmu_core.cli.output import console, print_json
    from salmu_core.cli.progress import reporting
    from salmu_core.errors import STOPPED, UsageError
    from salmu_core.plugins.zoo import discover
    from salmu_core.run.accelerator import check_precision
    from salmu_core.study.parsing import parse_numbers, parse_settings
    from salmu_core.study.prepare import Options

    if not 0 < budget < float("inf"):
        raise UsageError(f"--budget {budget}: it must be a number above 0.")
    fixed = parse_settings(settings or [])
    if spare := sorted(fixed.keys() - {*methods}):
        raise UsageError(f"Settings are given for {', '.join(spare)}, which is not tuned here.")
    worlds = tuple(parse_numbers(world, "--world", "worlds")) if world else None
    if worlds is None and benchmark is None:
        worlds = (WORLD,)
    aside = redirect_stdout(sys.stderr) if as_json else nullcontext()
    with aside, reporting(to_stderr=as_json) as reporter:
        check_precision(mixed_precision)
        zoo = discover()
        for name in methods:
            zoo.methods[name]
        from salmu_tune.results import Results
        from salmu_tune.search import Asked, Tuning

        options = Options(mixed_precision=mixed_precision, threads=threads, processes=processes, scores=False)
        asked = Asked(methods, benchmark or "mini", worlds, budget, seed, trials, fixed)
        tuning = Tuning(asked, zoo, output, options, reporter)
        if not tuning.missing:
            reporter.say(f"Nothing to do: all trials are there, in {tuning.folder}.")
        try:
            tuning.run()
        except KeyboardInterrupt:
            reporter.say("Stopped. Finished trials are kept; the same command goes on from here.")
            raise typer.Exit(STOPPED) from None
        results = Results.of(tuning)
        files = results.write(export)
    if as_json:
        print_json({"folder": str(tuning.folder), "files": [str(file) for file in files], **results.as_json()})
        return
    screen = console()
    screen.print(results.table())
    screen.print(f"Use it: salmu run {' '.join(asked.methods)} --tuned {tuning.folder}", soft_wrap=True)
