"""Where imported evaluations lie in a results folder, and how they become rows of its tables. Needs no torch.

``runs/BENCHMARK/_references/imported-NAME/`` has what a reference model's folder has, ``metrics.json`` and
``per_row.parquet``, so that `salmu diff` takes it; there is no checkpoint. In the place of the hash of weights stands
that of the file, and each metric's details say where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from salmu_core.disk.files import new_folder
from salmu_core.disk.hashing import hash_file, hash_json
from salmu_core.errors import UsageError
from salmu_core.judge.results import Results, Row, read_results
from salmu_core.judge.single import ScoredModel, read_scored
from salmu_core.score.tables import Tables, write_metrics
from salmu_core.store.folders import METRICS, REFERENCES, Store
from salmu_core.store.records import BenchmarkRef, Ledger, MetricEntry, MetricsRecord, PluginRef, RunRecord
from salmu_exchange.form import PARTS, Evaluation, figures_of, name_of, read
from salmu_exchange.models import evaluation_of, table_of

PREFIX = "imported-"
#: What a metric's details are called by that say where it comes from.
ORIGIN = "imported"


class Imported(RunRecord):
    """What a table is told of an imported model: how it was made is not known."""

    @property
    def needs(self) -> str:
        """Which data it looked at."""
        return "not known"


def shelve(file: Path, store: Store, world: str, budget: float) -> ScoredModel:
    """Read an evaluation file and keep it beside the reference models; what was imported by its name is replaced.

    Args:
        file: The file.
        store: The results folder.
        world: The benchmark's name in paths.
        budget: The budget it was unlearned at; 0 where that is not known.

    Raises:
        FileError: It can't be read.
        UsageError: It is no evaluation file, or not of this benchmark; or no reference model tells whose the rows are.
    """
    name, like = name_of(file), reference(store, world)
    ranked = like.metrics.metrics["RetFail"]
    evaluation = read(file, len(table_of(like, PARTS[0])), ranked.gallery or 1)
    origin = {"file": file.name, "sha256": (sha256 := hash_file(file)), "budget": budget}
    record = MetricsRecord(
        benchmark=like.metrics.benchmark,
        data_hash=like.metrics.data_hash,
        zeroshot_hash=like.metrics.zeroshot_hash,
        checkpoint_hash=sha256,
        metrics=_entries(evaluation, like, origin),
        images_encoded=0,
        captions_encoded=0,
        seconds=0,
    )
    with new_folder(folder := store.reference(world, f"{PREFIX}{name}")) as made:
        write_metrics(made, record, Tables(_table(evaluation, like), Tables.joined([]).retrieved))
    return read_scored(folder)


def reference(store: Store, world: str) -> ScoredModel:
    """A reference model of a results folder.

    Raises:
        UsageError: There is none.
    """
    folder = store.reference(world, "clean")
    if not (folder / METRICS).is_file():
        raise UsageError(
            f"{store.root} has no Clean of {world}, which tells whose the rows are: `salmu evaluate MODEL --benchmark "
            f"{world}` scores both reference models."
        )
    model = read_scored(folder)
    evaluation_of(model)  # that it has all ten
    return model


def _entries(evaluation: Evaluation, like: ScoredModel, origin: Mapping[str, object]) -> dict[str, MetricEntry]:
    # The mean of the rows, not what the file says it is: a table holds every figure against its rows.
    of_rows = {column: float(rows.mean()) for column, rows in figures_of(evaluation.rows).items()}
    entries = {}
    for part in PARTS:
        known = like.metrics.metrics[part.metric]
        values = {**evaluation.values, **of_rows}
        columns = [column for column in known.declared.columns if column in values]
        entries[part.metric] = MetricEntry(
            declared=known.declared,
            values={column: values[column] for column in columns},
            chance=known.chance,
            gallery=known.gallery,
            not_measured=None if columns else "the file says -1: it was skipped",
            details={ORIGIN: origin},
            plugin="the authors' evaluator",
            code_hash="",
        )
    return entries


def _table(evaluation: Evaluation, like: ScoredModel) -> pa.Table:
    """The lines of ``per_row.parquet``: those of a reference model, with other values."""
    figures = figures_of(evaluation.rows)
    tables = []
    for part in (part for part in PARTS if part.rows):
        assert part.rows is not None
        lines = table_of(like, part)
        for column in dict.fromkeys((*part.figures.values(), part.rows[1])):
            values = figures[column] if column in figures else evaluation.rows[column]
            made = {field: lines[field] for field in lines.column_names}
            made |= {"column": pa.array([column] * len(lines)).dictionary_encode(), "value": pa.array(values)}
            tables.append(pa.table(made).cast(Tables.joined([]).rows.schema))
    return pa.concat_tables(tables)


def imported(store: Store, world: str) -> Iterator[ScoredModel]:
    """All that was imported of a benchmark, by name.

    Raises:
        StoreError: Something is damaged.
    """
    for folder in sorted((store.root / world / REFERENCES).glob(f"{PREFIX}*")):
        if (folder / METRICS).is_file():
            yield read_scored(folder)


def with_imported(store: Store, world: str) -> Results:
    """The results of a benchmark, with a row for each model that was imported.

    Raises:
        StoreError: Something that was imported is damaged.
    """
    results = read_results(store, [world])
    compromised = results.references[world]["compromised"].checkpoint_hash
    return replace(
        results, rows=[*results.rows, *(_row(model, world, compromised) for model in imported(store, world))]
    )


def _row(model: ScoredModel, world: str, compromised: str) -> Row:
    metrics = model.metrics
    origin = next(iter(metrics.metrics.values())).details[ORIGIN]
    name = f"{model.folder.name.removeprefix(PREFIX)} (imported)"
    record = Imported(
        status="valid",
        benchmark=BenchmarkRef(name=world, data_hash=metrics.data_hash, start_model_hash=compromised),
        method=name,
        plugin=PluginRef(distribution="salmu-exchange", version="", code_hash=""),
        config={},
        config_hash=hash_json({}),
        budget=origin["budget"],
        seed=0,
        ledger=Ledger(),
        environment={},
        command=f"salmu import {origin['file']}",
        started="",
    )
    return Row(
        model.folder,
        world,
        name,
        record,
        "valid",
        metrics=metrics.values,
        errors=metrics.errors,
        figures=model.figures,
        tails=model.tails,
        not_measured=metrics.not_measured,
        entries=metrics.metrics,
    )
