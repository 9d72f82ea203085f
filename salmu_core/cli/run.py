"""``salmu run`` and ``salmu evaluate``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from salmu_core.benchmark import Benchmark, locate, open_benchmark
from salmu_core.cli.output import Json, console, print_json
from salmu_core.cli.progress import reporter
from salmu_core.cli.results import Output
from salmu_core.errors import UsageError
from salmu_core.outstanding import Outstanding, outstanding
from salmu_core.plan import Study, make_plan, parse_settings, read_study
from salmu_core.plugins import Zoo, discover
from salmu_core.progress import Reporter
from salmu_core.report.table import columns, show
from salmu_core.results import Results, read_results
from salmu_core.store import Store

if TYPE_CHECKING:
    from salmu_core.study import Study as Execution

BenchmarkName = Annotated[
    str | None,
    typer.Option(
        help="An installed benchmark (`mini`, or `mini@3` for its world 3) or a folder.  [default: mini]",
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
        help="CPU threads to compute with. They show in the last bits, so their number is fixed and not the machine's.",
        envvar="SALMU_THREADS",
    ),
]


def run(
    methods: Annotated[
        list[str] | None, typer.Argument(metavar="[METHOD]...", help="Methods to run.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Run every installed method.")] = False,
    benchmark: BenchmarkName = None,
    budget: Annotated[
        list[float] | None,
        typer.Option(
            help="Pairs a method may see, in units of the forget set's size; repeatable.  [default: 5]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seed; repeatable.  [default: 0]", show_default=False)] = None,
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
    threads: Threads = 2,
    as_json: Json = False,
) -> None:
    """Unlearn with methods on a benchmark, score the checkpoints, and show the table.

    Finished runs are kept and never made again. Under `accelerate launch` the runs are shared out among the
    processes.
    """
    zoo = discover()
    study = _study(methods, everything, benchmark, budget, seed, config)
    overrides = parse_settings(settings or [])
    located = locate(study.benchmark, zoo)
    make_plan(study, "checked", zoo, overrides)  # every mistake in the request comes out before anything is built
    metrics = list(zoo.metrics.values())
    if not metrics:
        raise UsageError("No metric is installed: pip install salmu-protocol-metrics.")
    store, main = Store(output), int(os.environ.get("RANK", "0")) == 0
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    with reporter(quiet=not main, to_stderr=as_json) as telling:
        for row in zoo.problems:
            telling.say(f"Plugin {row.name} of {row.distribution} is left out: {row.problem}")
        try:
            opened = open_benchmark(study.benchmark, zoo, telling.building)
            plan = make_plan(study, opened.name, zoo, overrides)
            todo = outstanding(plan, opened, store, metrics, redo)
            for note in todo.notes:
                telling.say(note)
            if todo.nothing and alone:
                telling.say(f"Nothing to do: all {todo.finished} runs are finished, in {output / opened.name}.")
            else:
                _execute(opened, store, zoo, todo, telling, mixed_precision, threads, redo)
        except KeyboardInterrupt:
            telling.say("Stopped. Finished runs are kept; the same command goes on from here.")
            raise typer.Exit(130) from None
    if not main:
        return
    found = _of_plan(read_results(store, opened.name), {store.folder(p.key) for p in plan})
    if as_json:
        print_json(found.as_json())
    else:
        show(console(), found, zoo.metrics, opened.notice)
    broken = zoo.problems if (everything and located is not None) or everything else ()
    if found.invalid or broken:
        raise typer.Exit(1)


def evaluate(
    checkpoint: Annotated[
        str, typer.Argument(help="An open_clip model: a folder, `local-dir:PATH` or `hf-hub:OWNER/NAME`.")
    ],
    benchmark: BenchmarkName = None,
    output: Output = Path("runs"),
    threads: Threads = 2,
    as_json: Json = False,
) -> None:
    """Score any open_clip model under the protocol, beside the two reference models."""
    zoo = discover()
    name = benchmark or "mini"
    locate(name, zoo)
    if not checkpoint.startswith("hf-hub:"):
        folder = Path(checkpoint.removeprefix("local-dir:")).expanduser()
        if not (folder / "open_clip_config.json").is_file():
            raise UsageError(f"{folder} is no open_clip model folder: it has no open_clip_config.json.")
        checkpoint = f"local-dir:{folder.resolve()}"
    store, metrics = Store(output), list(zoo.metrics.values())
    with reporter(quiet=False, to_stderr=as_json) as telling:
        opened = open_benchmark(name, zoo, telling.building)
        todo = outstanding([], opened, store, metrics)
        execution = _execute(opened, store, zoo, todo, telling, None, threads, False)
        from salmu_core.study import Scorer

        telling.begin(checkpoint, "scoring")
        record, _ = Scorer(opened, metrics, execution.accelerator.device).compute(checkpoint, "", telling.step)
        telling.end(f"{checkpoint}: scored, {record.seconds:.1f} s")
    references = read_results(store, opened.name).references
    if as_json:
        print_json(
            {
                "benchmark": opened.name,
                "checkpoint": checkpoint,
                "metrics": record.values,
                "metric_errors": record.errors,
                "references": references,
            }
        )
    else:
        _show_one(record.values, references, zoo)
    if record.errors:
        raise typer.Exit(1)


def _study(
    methods: list[str] | None,
    everything: bool,
    benchmark: str | None,
    budget: list[float] | None,
    seed: list[int] | None,
    config: Path | None,
) -> Study:
    if methods and everything:
        raise UsageError("Name methods, or give --all; not both.")
    if not (methods or everything or config):
        raise UsageError("Name the methods to run, or give --all. `salmu methods` lists them.")
    study = read_study(config) if config else Study()
    given: dict[str, Any] = {"benchmark": benchmark, "budgets": budget, "seeds": seed, "methods": methods}
    changed = {name: value for name, value in given.items() if value}
    if everything:
        changed["methods"] = None
    try:
        return Study.model_validate({**study.model_dump(), **changed})
    except ValueError as error:
        raise UsageError("Budgets must be above 0, seeds whole numbers from 0.") from error


def _execute(
    benchmark: Benchmark,
    store: Store,
    zoo: Zoo,
    todo: Outstanding,
    telling: Reporter,
    mixed_precision: str | None,
    threads: int,
    redo: bool,
) -> Execution:
    telling.building("loading torch", 1.0)
    import torch
    from accelerate import Accelerator

    from salmu_core.study import Study as Execution

    torch.set_num_threads(threads)
    try:
        accelerator = Accelerator(mixed_precision=mixed_precision)
    except ValueError as error:
        raise UsageError(f"--mixed-precision {mixed_precision}: {error}") from error
    execution = Execution(benchmark, store, list(zoo.metrics.values()), accelerator, telling, redo)
    execution.run(todo.runs, todo.checkpoints, todo.references)
    return execution


def _of_plan(found: Results, folders: set[Path]) -> Results:
    return Results(found.benchmark, found.references, [row for row in found.rows if row.folder in folders])


def _show_one(values: dict[str, float], references: dict[str, dict[str, float]], zoo: Zoo) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("metric")
    for header in ("value", "Compromised", "Clean", "target"):
        table.add_column(header, justify="right")
    for column in columns(zoo.metrics):
        numbers = (values, references["compromised"], references["clean"])
        table.add_row(
            column.name,
            *(f"{n[column.name]:.4f}" if column.name in n else "-" for n in numbers),
            column.target.capitalize(),
        )
    console().print(table)
