"""Reads a results folder into runs and the figures of the reference models beside them. Needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from salmu_core.contract.layout import ROLES
from salmu_core.disk.file_hashes import Stamps
from salmu_core.disk.hashing import EVERY_BYTE, Hashes
from salmu_core.errors import SchemaError, StoreError
from salmu_core.judge.attacked import Attacked, attacks_json, read_attacks
from salmu_core.judge.figures import Figures, figures_of, read_figures
from salmu_core.judge.parts import Part, Task, read_part
from salmu_core.judge.refusals import refusal
from salmu_core.judge.targets import Column, columns
from salmu_core.store.attacks import AttackKey
from salmu_core.store.folders import METRICS, Store, read_metrics, read_run, read_unit
from salmu_core.store.records import MetricEntry, MetricsRecord, RunRecord, ScoredOn


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        world: The benchmark's name in paths, e.g. ``mini@3``.
        record: Its record; None if the folder is damaged.
        status: ``valid``, why it is not, ``damaged`` or ``not scored``.
        reason: What is wrong, in a sentence.
        metrics: Column -> value.
        errors: Metric -> what went wrong with it.
        figures: Column -> its rows by person; where the metric has none, its value alone.
        tails: Name -> value, see `salmu_core.judge.tails`.
        not_measured: Metric -> what the benchmark lacks for it.
        entries: Metric -> all that is recorded of it.
        part: Of a request in a sequence, the people whose forget rows the figures are of; None for everybody.
        attacks: What was tried on its checkpoint, and what that brought back.
    """

    folder: Path
    world: str
    method: str
    record: RunRecord | None
    status: str
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    figures: Figures = field(default_factory=dict)
    tails: Mapping[str, float] = field(default_factory=dict)
    not_measured: Mapping[str, str] = field(default_factory=dict)
    entries: Mapping[str, MetricEntry] = field(default_factory=dict)
    part: Part | None = None
    attacks: Mapping[AttackKey, Attacked] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """What it was to do."""
        return Task.of(self.record, self.status == "valid" and self.part is None) if self.record else Task()

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.record.seed if self.record else 0

    def as_json(self) -> dict[str, Any]:
        """The run as ``salmu results --json`` prints it."""
        record = self.record
        return {
            "method": self.method,
            "world": self.world,
            "config_hash": record.config_hash if record else None,
            "config": record.config if record else None,
            "budget": record.budget if record else None,
            "seed": record.seed if record else None,
            "start": record.start.model_dump() if record else None,
            "request": record.request.model_dump() if record else None,
            "people": "everybody" if self.part is None else "of the request",
            "status": self.status,
            "reason": self.reason,
            "metrics": dict(self.metrics),
            "metric_errors": dict(self.errors),
            "not_measured": dict(self.not_measured),
            "retain": record.retain.model_dump() if record else None,
            "ledger": record.ledger.model_dump() if record else None,
            "checkpoint": str(self.folder) if record and record.checkpoint_hash else None,
            "folder": str(self.folder),
            "attacks": attacks_json(self.attacks),
        }


@dataclass(frozen=True)
class Reference:
    """One of the two reference models of a world.

    Attributes:
        metrics: Column -> value; empty where it was not scored.
        figures: Column -> its rows by person.
        tails: Name -> value.
        entries: Metric -> all that is recorded of it.
        data_hash: Of the data it was scored on.
        zeroshot_hash: Of the zero-shot set it was scored on.
        checkpoint_hash: Of its weights.
        attacks: What was tried on it, and what that brought.
        problem: Why it can't be used, in a sentence.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    figures: Figures = field(default_factory=dict)
    tails: Mapping[str, float] = field(default_factory=dict)
    entries: Mapping[str, MetricEntry] = field(default_factory=dict)
    data_hash: str = ""
    zeroshot_hash: str = ""
    checkpoint_hash: str = ""
    problem: str = ""
    attacks: Mapping[AttackKey, Attacked] = field(default_factory=dict)

    @property
    def chance(self) -> dict[str, float]:
        """Column -> value that guessing gives."""
        return {column: value for entry in self.entries.values() for column, value in entry.chance.items()}

    def of(self, part: Part) -> Reference:
        """The same model, with the forget rows of some people only; without tails."""
        figures = part.of(self.figures)
        return replace(self, figures=figures, metrics=part.values(self.metrics, figures), tails={})


@dataclass(frozen=True)
class Results:
    """Everything a results folder holds of one benchmark.

    Attributes:
        benchmark: Its name, without a world.
        problems: What is wrong with reference models, in sentences.
        references: World -> role (``clean``, ``compromised``) -> reference model.
        rows: Runs, by method, budget, world and seed.
    """

    benchmark: str
    references: Mapping[str, Mapping[str, Reference]]
    rows: Sequence[Row]
    problems: Sequence[str] = ()

    @property
    def worlds(self) -> list[str]:
        """Worlds with results, by number."""
        return sorted(self.references, key=by_number)

    @cached_property
    def columns(self) -> list[Column]:
        """All figures that were asked for, with their targets, as the records declare them."""
        models = [model.entries for world in self.worlds for model in self.references[world].values()]
        return columns([*models, *(row.entries for row in self.rows)])

    @property
    def runs(self) -> list[Row]:
        """Each run once; of the last of several requests, the row for everybody."""
        return list({row.folder: row for row in self.rows}.values())

    def beside(self, rows: Iterable[Row]) -> Results:
        """With what rows of one task are to be held against: of a request, reference models on the same people."""
        parts = {row.world: row.part for row in rows if row.part}
        references = {
            world: {role: model.of(parts[world]) if world in parts else model for role, model in models.items()}
            for world, models in self.references.items()
        }
        return replace(self, references=references) if parts else self

    def attacked(self, attacks: Collection[AttackKey]) -> bool:
        """Whether some attacks failed on no valid run, of several requests the last, and on no reference model."""
        models: list[Row | Reference] = [row for row in self.rows if row.status == "valid" and row.part is None]
        models += [model for roles in self.references.values() for model in roles.values()]
        return all(key in model.attacks and model.attacks[key].is_done for model in models for key in attacks)

    @property
    def invalid(self) -> list[Row]:
        """Rows that are no valid result."""
        return [row for row in self.rows if row.status != "valid"]


def by_number(world: str) -> tuple[str, int]:
    """Sorts ``mini``, ``mini@2``, ``mini@10`` in this order."""
    base, _, number = world.partition("@")
    return base, int(number) if number.isdecimal() else 0


def read_results(store: Store, worlds: Collection[str], only: Path | None = None) -> Results:
    """Read all runs of some worlds of one benchmark; damaged ones become rows that say so.

    Args:
        worlds: Names in paths, e.g. ``mini`` and ``mini@1``.
        only: The one run to read, all of its files and its reference models'; by default every run, of which files
            that have not changed since they were last read are not read again.

    Raises:
        SchemaError: All of them are of another release; where others are there, they are left out.
    """
    runs = {world: store.runs(world) if only is None else [only] for world in worlds}
    if only is not None:
        return _read_runs(store, runs, EVERY_BYTE)
    with Stamps(store.root) as stamps:
        return _read_runs(store, runs, stamps)


def _read_runs(store: Store, folders: Mapping[str, Iterable[Path]], hashed: Hashes) -> Results:
    ordered = sorted(folders, key=by_number)
    foreign, rows = list[SchemaError](), list[Row]()
    references: dict[str, dict[str, Reference]] = {world: dict.fromkeys(ROLES, Reference()) for world in ordered}
    for world, models in references.items():
        for role in models:
            with _collecting(foreign):
                models[role] = _reference(store, world, role, hashed)
        for folder in folders[world]:
            with _collecting(foreign):
                rows += _rows(world, folder, models, hashed)
    if foreign and not rows:
        raise foreign[0]
    problems = [model.problem for models in references.values() for model in models.values() if model.problem]
    problems += [f"{len(foreign)} records of another release are left out: {error}" for error in foreign[:1]]
    return Results(ordered[0].partition("@")[0], references, sorted(rows, key=_order), problems)


@contextmanager
def _collecting(foreign: list[SchemaError]) -> Iterator[None]:
    """Records of another release are one sentence, not one each."""
    try:
        yield
    except SchemaError as error:
        foreign.append(error)


def of_plan(results: Results, planned: Mapping[Path, tuple[str, str]]) -> Results:
    """The rows of planned runs only; one that has no row becomes one that says so.

    Args:
        planned: Run folder -> world and method.
    """
    rows = [row for row in results.rows if row.folder in planned]
    absent = planned.keys() - {row.folder for row in rows}
    reason = "another process holds its folder, or was ended while it made it: run the same command again"
    rows += [Row(folder, *planned[folder], None, "unfinished", reason) for folder in sorted(absent)]
    return Results(results.benchmark, results.references, rows, results.problems)


def _reference(store: Store, world: str, role: str, hashed: Hashes) -> Reference:
    folder = store.reference(world, role)
    try:
        record = read_unit(folder / METRICS, MetricsRecord, hashed)
        if record is None:
            return Reference()
        figures, tail_values = read_figures(folder, record)
        attacks = read_attacks(folder, record, hashed)
    except StoreError as error:
        return Reference(problem=f"{role.capitalize()} of {world}: {error}")
    measured = (record.values, figures, tail_values, record.metrics)
    return Reference(*measured, *record.scored_on, record.checkpoint_hash, attacks=attacks)


def _rows(world: str, folder: Path, references: Mapping[str, Reference], hashed: Hashes) -> Iterator[Row]:
    """A run's row; of a request in a sequence, one for the people it was about, and after the last, for everybody."""
    method = folder.parts[-3]
    try:
        record = read_run(folder, hashed)
        assert record is not None  # the folder was found by this very file
        metrics = read_metrics(folder, record.checkpoint_hash, hashed=hashed) if record.checkpoint_hash else None
        scored = {ScoredOn(model.data_hash, model.zeroshot_hash) for model in references.values() if model.data_hash}
        if lacking := refusal(record, metrics, folder, scored, references["compromised"].checkpoint_hash):
            yield Row(folder, world, method, record, *lacking)
            return
        assert metrics is not None  # or it would be lacking
        figures, tail_values = read_figures(folder, metrics)
        measured = (metrics.values, metrics.errors, figures, tail_values, metrics.not_measured, metrics.metrics)
        whole = Row(folder, world, method, record, "valid", "", *measured)
        if record.request.count > 1:
            part, table = read_part(folder, metrics, record.request)
            told = part.of(figures)
            tail_values, values = figures_of(metrics, table)[1], part.values(metrics.values, told)
            yield replace(whole, metrics=values, figures=told, tails=tail_values, part=part)
        if record.request.number == record.request.count:
            yield replace(whole, attacks=read_attacks(folder, metrics, hashed))
    except StoreError as error:
        yield Row(folder, world, method, None, "damaged", str(error))


def _order(row: Row) -> tuple[Any, ...]:
    record = row.record
    if record is None:
        return (row.method, "", 0.0, *by_number(row.world), 0)
    run = (row.method, record.variant, record.budget, *by_number(row.world), record.seed)
    return (*run, record.origin, record.request.number, row.part is None)
