"""``salmu evaluate``: any open_clip model beside the two references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from salmu_core.benchmark.folder import locate, open_benchmark
from salmu_core.cli.output import console, print_json, say
from salmu_core.cli.progress import reporter
from salmu_core.cli.run import accelerate
from salmu_core.clip.name import find_model
from salmu_core.judge.columns import Column, columns
from salmu_core.judge.lines import Figure
from salmu_core.judge.repeats import Repeats
from salmu_core.judge.results import Figures, Reference, figures_of, read_results
from salmu_core.plugins import discover
from salmu_core.store.folders import Store
from salmu_core.study.todo import outstanding


def evaluate_checkpoint(checkpoint: str, name: str, output: Path, threads: int, as_json: bool) -> int:
    """Score a model and show it; returns the exit code.

    Raises:
        UsageError: There is no such model.
    """
    zoo = discover()
    locate(name, zoo)
    checkpoint = str(find_model(checkpoint))
    store, metrics = Store(output), list(zoo.metrics.values())
    with reporter(0, to_stderr=as_json) as telling:
        benchmark = open_benchmark(name, zoo, telling.building)
        todo = outstanding([], benchmark, store, metrics)
        accelerator = accelerate(telling, None, threads)
        from salmu_core.study.execution import Execution

        execution = Execution(benchmark, store, metrics, accelerator, telling)
        telling.plan(todo.size + 1)
        execution.score([], todo.references)
        telling.begin(checkpoint, "scoring")
        record, tables = execution.scorer.compute(checkpoint, "", telling.step)
        telling.end(f"{checkpoint}: scored, {record.seconds:.1f} s")
    references = read_results(store, [benchmark.name]).references[benchmark.name]
    figures = _figures(figures_of(record, tables.rows)[0], references, columns(zoo.metrics))
    if as_json:
        shown = {"benchmark": benchmark.name, "checkpoint": checkpoint, "metrics": record.values}
        shown |= {"metric_errors": record.errors, "not_measured": record.not_measured}
        shown |= {"figures": {name: f.as_json() for name, f in figures.items()}}
        print_json({**shown, "references": {role: dict(model.metrics) for role, model in references.items()}})
    else:
        console().print(_table(figures, references, columns(zoo.metrics)))
        for metric, error in record.errors.items():
            say(f"metric {metric} has no value: {error}", stderr=True)
        for metric, why in record.not_measured.items():
            say(f"metric {metric} is not measured: {why}", stderr=True)
    return 1 if record.errors else 0


def _figures(found: Figures, references: Mapping[str, Reference], shown: Sequence[Column]) -> dict[str, Figure]:
    """Each figure, and what it lies above its target; p values are not adjusted, there is one model."""
    figures = {}
    for column in shown:
        if column.name not in found:
            continue
        target = references[column.target].figures.get(column.name)
        try:
            gap = Repeats({"": {0: found[column.name] - target}}) if target else None
        except ValueError:  # other rows
            gap = None
        figures[column.name] = Figure(Repeats({"": {0: found[column.name]}}), gap, gap.p_value() if gap else None)
    return figures


def _table(figures: Mapping[str, Figure], references: Mapping[str, Reference], shown: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("metric")
    for header in ("value", "95% interval", "Compromised", "Clean", "target", "from target"):
        table.add_column(header, justify="right")
    for column in shown:
        others = (references[role].metrics.get(column.name) for role in ("compromised", "clean"))
        beside = [f"{value:.4f}" if value is not None else "-" for value in others]
        value, interval, gap = "not measured", "", ""
        if figure := figures.get(column.name):
            found, difference = figure.value, figure.difference
            value = f"{found.value:.4f}"
            interval = f"{found.low:.4f} to {found.high:.4f}" if found.high < float("inf") else "-"
            gap = f"{difference.value:+.4f}" + ("*" if figure.missed else " ") if difference else "-"
        table.add_row(column.name, value, interval, *beside, column.target.capitalize(), gap)
    table.caption = "95% over people, paired row by row; * shown to be off (p < 0.05, each figure by itself)"
    table.caption_justify = "left"
    return table
