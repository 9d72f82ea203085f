"""``salmu evaluate``: any open_clip model beside the two references."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from salmu_core.benchmark import locate, open_benchmark
from salmu_core.cli.output import console, print_json
from salmu_core.cli.progress import reporter
from salmu_core.cli.run import accelerate
from salmu_core.comparison import columns
from salmu_core.errors import UsageError
from salmu_core.outstanding import outstanding
from salmu_core.plugins import Zoo, discover
from salmu_core.results import read_results
from salmu_core.store import Store


def evaluate_checkpoint(checkpoint: str, name: str, output: Path, threads: int, as_json: bool) -> int:
    """Score a model and show it; returns the exit code.

    Raises:
        UsageError: There is no such model folder.
    """
    zoo = discover()
    locate(name, zoo)
    if not checkpoint.startswith("hf-hub:"):
        folder = Path(checkpoint.removeprefix("local-dir:")).expanduser()
        if not (folder / "open_clip_config.json").is_file():
            raise UsageError(f"{folder} is no open_clip model folder: it has no open_clip_config.json.")
        checkpoint = f"local-dir:{folder.resolve()}"
    store, metrics = Store(output), list(zoo.metrics.values())
    with reporter(0, to_stderr=as_json) as telling:
        benchmark = open_benchmark(name, zoo, telling.building)
        todo = outstanding([], benchmark, store, metrics)
        accelerator = accelerate(telling, None, threads)
        from salmu_core.study import Execution

        execution = Execution(benchmark, store, metrics, accelerator, telling)
        telling.plan(todo.size + 1)
        execution.score([], todo.references)
        telling.begin(checkpoint, "scoring")
        record, _ = execution.scorer.compute(checkpoint, "", telling.step)
        telling.end(f"{checkpoint}: scored, {record.seconds:.1f} s")
    scored = read_results(store, [benchmark.name]).references[benchmark.name]
    references = {role: dict(model.metrics) for role, model in scored.items()}
    if as_json:
        shown = {"benchmark": benchmark.name, "checkpoint": checkpoint, "metrics": record.values}
        print_json({**shown, "metric_errors": record.errors, "references": references})
    else:
        console().print(_table(record.values, references, zoo))
        for metric, error in record.errors.items():
            console(stderr=True).print(f"metric {metric} has no value: {error}", markup=False)
    return 1 if record.errors else 0


def _table(values: dict[str, float], references: dict[str, dict[str, float]], zoo: Zoo) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("metric")
    for header in ("value", "Compromised", "Clean", "target"):
        table.add_column(header, justify="right")
    for column in columns(zoo.metrics):
        numbers = (values, references["compromised"], references["clean"])
        shown = (f"{n[column.name]:.4f}" if column.name in n else "-" for n in numbers)
        table.add_row(column.name, *shown, column.target.capitalize())
    return table
