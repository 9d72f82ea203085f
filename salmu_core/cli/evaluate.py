"""``salmu evaluate``: any open_clip model beside the two references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.benchmark.locate import locate
from salmu_core.cli.options import MODEL, BenchmarkName, Json, Output, Threads
from salmu_core.cli.output import console, print_json, say
from salmu_core.cli.progress import reporting
from salmu_core.clip.name import find_model
from salmu_core.errors import MachineError
from salmu_core.judge.targets import Column, columns
from salmu_core.plugins.zoo import discover
from salmu_core.run.accelerator import accelerate
from salmu_core.store.folders import Store
from salmu_core.study.todo import outstanding

if TYPE_CHECKING:
    from salmu_core.judge.figures import Figures
    from salmu_core.judge.lines import Figure
    from salmu_core.judge.results import Reference


def evaluate(
    checkpoint: Annotated[str, typer.Argument(help=f"An open_clip model: {MODEL}.")],
    benchmark: BenchmarkName = None,
    output: Output = Path("runs"),
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Score any open_clip model under the protocol, beside the two reference models."""
    from salmu_core.judge.figures import figures_of
    from salmu_core.judge.results import read_results

    zoo, name = discover(), benchmark or "mini"
    locate(name, zoo)
    checkpoint = str(find_model(checkpoint))
    store, metrics = Store(output), list(zoo.metrics.values())
    with reporting(to_stderr=as_json) as reporter:
        opened = open_benchmark(name, zoo, reporter.building)
        todo = outstanding([], opened, store, metrics)
        reporter.building("loading torch", 1.0)
        accelerator = accelerate(None, threads)
        from salmu_core.study.execution import Execution

        execution = Execution(opened, store, metrics, accelerator, reporter)
        reporter.plan(todo.size + 1)
        execution.score([], todo.references)
        reporter.begin(checkpoint, "scoring")
        scoring = execution.scorer.compute(checkpoint, "", reporter.step)
        record, tables = scoring.record, scoring.tables
        reporter.end(f"{checkpoint}: scored, {record.seconds:.1f} s")
    references = read_results(store, [opened.name]).references[opened.name]
    every = columns([record.metrics])
    figures = _figures(figures_of(record, tables.rows)[0], references, every)
    if as_json:
        facts = {"benchmark": opened.name, "checkpoint": checkpoint, "metrics": record.values}
        facts |= {"metric_errors": record.errors, "not_measured": record.not_measured}
        facts |= {"figures": {name: figure.as_json() for name, figure in figures.items()}}
        print_json({**facts, "references": {role: dict(model.metrics) for role, model in references.items()}})
    else:
        console().print(_table(figures, references, every))
        for metric, error in record.errors.items():
            say(f"metric {metric} has no value: {error}", stderr=True)
        for metric, reason in record.not_measured.items():
            say(f"metric {metric} is not measured: {reason}", stderr=True)
    if scoring.failures:
        raise MachineError(f"{checkpoint}: {scoring.failed}")
    if record.errors:
        raise typer.Exit(1)


def _figures(values: Figures, references: Mapping[str, Reference], every: Sequence[Column]) -> dict[str, Figure]:
    """Each figure, and what it lies above its target; p values are not adjusted, there is one model."""
    from salmu_core.judge.lines import Figure
    from salmu_core.judge.repeats import Repeats

    figures = {}
    for column in every:
        if column.name not in values:
            continue
        value, target = values[column.name], references[column.target].figures.get(column.name)
        try:
            gap = Repeats({"": {0: value - target}}) if target else None
        except ValueError:  # other rows
            gap = None
        figures[column.name] = Figure(Repeats({"": {0: value}}), gap, gap.p_value() if gap else None)
    return figures


def _table(figures: Mapping[str, Figure], references: Mapping[str, Reference], every: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("metric")
    for header in ("value", "95% interval", "Compromised", "Clean", "target", "from target"):
        table.add_column(header, justify="right")
    for column in every:
        others = (references[role].metrics.get(column.name) for role in ("compromised", "clean"))
        beside = [f"{value:.4f}" if value is not None else "-" for value in others]
        value, interval, gap = "not measured", "", ""
        if figure := figures.get(column.name):
            estimate, difference = figure.value, figure.difference
            value = f"{estimate.value:.4f}"
            interval = f"{estimate.low:.4f} to {estimate.high:.4f}" if estimate.high < float("inf") else "-"
            gap = f"{difference.value:+.4f}" + ("*" if figure.missed else " ") if difference else "-"
        table.add_row(column.name, value, interval, *beside, column.target.capitalize(), gap)
    table.caption = "95% over people, paired row by row; * shown to be off (p < 0.05, each figure by itself)"
    table.caption_justify = "left"
    return table
