"""Gathers what a results folder and its benchmark hold of one person. Needs no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from salmu_report.associations import Associations, RetrievedCaption, read_associations
from salmu_report.people import People, Person, read_people

from salmu_core.benchmark.folder import Benchmark
from salmu_core.contract.layout import FORGET
from salmu_core.errors import BenchmarkError, StoreError, UsageError
from salmu_core.judge.figures import Figures
from salmu_core.judge.single import OneRun, read_one_run
from salmu_core.store.folders import METRICS, read_record
from salmu_core.store.records import MetricsRecord
from salmu_core.store.schema import ROWS

_AGAIN = "`salmu run` again: it scores what is missing"


@dataclass(frozen=True)
class Measured:
    """One metric's values of the person's rows.

    Attributes:
        split: The split they are in.
        values: File name -> value.
    """

    split: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Model:
    """What one of the three models knows of the person.

    Attributes:
        record: Its metrics.
        associations: Cosines and ranks of everybody.
        figures: Column -> its rows by person, of everybody.
        rows: Figure -> this person's rows.
        retrieved: File name -> the captions that come first; empty where no list was kept.
    """

    record: MetricsRecord
    associations: Associations
    figures: Figures
    rows: Mapping[str, Measured]
    retrieved: Mapping[str, list[RetrievedCaption]]


@dataclass(frozen=True)
class Dossier:
    """All there is to say about one person.

    Attributes:
        before: Compromised.
        after: The run.
        clean: Clean.
    """

    run: OneRun
    benchmark: Benchmark
    people: People
    person: Person
    before: Model
    after: Model
    clean: Model

    @property
    def models(self) -> tuple[Model, Model, Model]:
        """Before, after, Clean."""
        return self.before, self.after, self.clean


def open_run(folder: Path) -> OneRun:
    """Read a run and its reference models, and refuse what can't be certified.

    Raises:
        UsageError: It is no run's folder, or the run is no result, or a model has no metrics.
        StoreError: A file is damaged.
    """
    run = read_one_run(folder, "certified")
    for role, model in run.results.references[run.world].items():
        if model.problem:
            raise StoreError(f"{run.folder} can't be certified: {model.problem}")
        if not model.data_hash:
            raise UsageError(
                f"{role.capitalize()} of {run.world} is not scored, and nothing can be held against it: {_AGAIN}."
            )
    return run


def gather(run: OneRun, benchmark: Benchmark, identity: str) -> Dossier:
    """Read what the three models know of one person.

    Args:
        run: The run.
        benchmark: The data it was made and scored on.
        identity: Whom.

    Raises:
        BenchmarkError: The data are others, or don't tell what an association is about.
        UnknownNameError: Nobody is called so.
        UsageError: What a certificate needs was not measured.
    """
    if benchmark.data_hash != run.record.benchmark.data_hash:
        raise BenchmarkError(
            f"{run.folder} was made on other data than {benchmark.folder} holds now: give the folder with those data "
            "as --benchmark PATH, or `salmu run` again, into another --output"
        )
    people = read_people(benchmark)
    person = people.find(identity)
    untold = [association.file_name for association in person.associations if not association.field]
    if untold:
        raise BenchmarkError(
            f"{benchmark.data} does not tell which attribute {untold[0]} is about (data_field in its captions' "
            "metadata): intervals are over attributes, so a certificate needs them"
        )
    folders = [run.store.reference(run.world, "compromised"), run.folder, run.store.reference(run.world, "clean")]
    references = run.results.references[run.world]
    figures = [references["compromised"].figures, run.results.rows[0].figures, references["clean"].figures]
    models = [_model(*each, person) for each in zip(folders, figures, strict=True)]
    _comparable(run.folder, *(model.record for model in models))
    for role, model in (("compromised", models[0]), ("clean", models[2])):
        if model.record.checkpoint_hash != benchmark.model_hash(role):
            raise StoreError(
                f"The figures of {role.capitalize()} in {run.store.root} are of another model than {benchmark.folder} "
                f"holds: {_AGAIN}, or give the folder with that model as --benchmark PATH."
            )
    dossier = Dossier(run, benchmark, people, person, *models)
    _complete(dossier)
    return dossier


def _model(folder: Path, figures: Figures, person: Person) -> Model:
    record = read_record(folder / METRICS, MetricsRecord)
    assert record is not None  # `open_run` has read it
    associations = read_associations(folder, record)
    names = {association.file_name for association in person.associations}
    return Model(record, associations, figures, _rows(folder, record, person), associations.retrieved(names))


def _rows(folder: Path, record: MetricsRecord, person: Person) -> dict[str, Measured]:
    import pyarrow.parquet as pq

    if not record.rows_hash:
        return {}
    wanted = ["column", "split", "file_name", "value"]
    table = pq.read_table(folder / ROWS, columns=wanted, filters=[("identity_id", "=", person.identity_id)])
    splits: dict[str, str] = {}
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for line in table.to_pylist():
        splits[line["column"]] = line["split"]
        values[line["column"]][line["file_name"]] = line["value"]
    return {name: Measured(splits[name], values[name]) for name in splits if name in record.values}


def _comparable(folder: Path, before: MetricsRecord, after: MetricsRecord, clean: MetricsRecord) -> None:
    """What other code computed is not the same figure."""
    for name, entry in after.metrics.items():
        for role, other in (("Compromised", before), ("Clean", clean)):
            if name in other.metrics and other.metrics[name].code_hash != entry.code_hash:
                raise UsageError(f"{name} of {folder} and of {role} were computed by different code: {_AGAIN}.")


def _complete(dossier: Dossier) -> None:
    """A certificate without ranks of what was to be forgotten, or without any figure, would show nothing."""
    for name, model in zip(("Compromised", str(dossier.run.folder), "Clean"), dossier.models, strict=True):
        for split in sorted({association.split for association in dossier.person.associations}):
            if model.associations.search(split) or (split != FORGET and split in model.associations.cosines):
                continue
            role = "leak" if split == FORGET else "holdout"
            metric = next((c.metric for c in dossier.run.columns if (c.role, c.split) == (role, split)), "")
            entry = model.record.metrics.get(metric)
            why = "is not among its metrics" if entry is None else "keeps no ranks of captions"
            if entry is not None and not entry.values:
                why = f"has no value: {entry.error or entry.not_measured}"
            called = metric or f"A metric with role {role} and ranks"
            raise UsageError(
                f"{called} of {name} {why}. Without it nothing can be said of {dossier.person.name}: {_AGAIN}."
            )
