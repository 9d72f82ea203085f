"""Everything in a results folder, read whole: seals, places, and figures against their rows. Needs no torch.

Nothing is changed, not even what killed processes have left.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from salmu_core.contract.layout import ROLES
from salmu_core.contract.progress import Progress
from salmu_core.disk.owners import abandoned, belongs_at
from salmu_core.disk.record import Sealed
from salmu_core.errors import SchemaError, StoreError
from salmu_core.judge.figures import ROUNDING
from salmu_core.judge.refusals import refusal
from salmu_core.store.attacks import ATTACK, QUERY, attack_folders, read_attack
from salmu_core.store.folders import AGAIN, METRICS, RANK, RANK_LIKE, REFERENCES, RUN, read_run, read_unit
from salmu_core.store.records import MetricEntry, MetricsRecord, RunRecord
from salmu_core.store.schema import ROWS
from salmu_core.store.starts import given

R = TypeVar("R", bound=Sealed)


class Finding(NamedTuple):
    """Something that is not as it should be.

    Attributes:
        damage: Whether a result is lost or can't be believed; else nothing is, and it should be known all the same.
    """

    path: Path
    what: str
    remedy: str
    damage: bool = True

    def as_json(self) -> dict[str, Any]:
        """As ``salmu verify --json`` prints it."""
        return {**self._asdict(), "path": str(self.path)}


class Checkpoint(NamedTuple):
    """A model that was scored, all of whose files are whole.

    Attributes:
        folder: Where its figures lie; of a run, its weights too.
        role: Of a reference model; empty for a run's.
        metrics: Its figures.
    """

    folder: Path
    role: str
    metrics: MetricsRecord


@dataclass
class Inspection:
    """What was looked at in the results of one benchmark, or world, and what is wrong.

    Attributes:
        world: Its name in paths.
        findings: What is wrong.
        looked_at: Kind of unit -> how many.
        runs: Folders and records of the runs that are whole.
        checkpoints: What was scored, and is whole.
    """

    world: str
    findings: list[Finding] = field(default_factory=list)
    looked_at: Counter[str] = field(default_factory=Counter)
    runs: dict[Path, RunRecord] = field(default_factory=dict)
    checkpoints: list[Checkpoint] = field(default_factory=list)


def worlds_in(root: Path) -> list[str]:
    """Names of the benchmarks of which anything lies in a results folder, whole or not."""
    folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = (path for path in folders if (path / REFERENCES).is_dir() or any(path.glob("*/*/*/")))
    return sorted(path.name for path in found)


def inspect(root: Path, world: str, progress: Progress) -> Inspection:
    """Read all that a results folder holds of one benchmark, or world.

    Args:
        root: The results folder.
        world: The benchmark's name in paths.
    """
    inspector = _Inspector(root / world, Inspection(world), progress)
    inspector.everything()
    return inspector.made


class _Inspector:
    def __init__(self, folder: Path, made: Inspection, progress: Progress) -> None:
        self._folder, self.made, self._progress = folder, made, progress
        #: Files that belong to something, and folders of which that can't be said, since their record is damaged.
        self._known: set[Path] = set()
        self._unknown: set[Path] = set()

    def everything(self) -> None:
        folders = [path.parent for path in sorted(self._folder.glob(f"*/*/*/{RUN}"))]
        folders = [folder for folder in folders if not folder.name.startswith(".")]
        references = {role: self._scored(self._folder / REFERENCES / role, role) for role in ROLES}
        for done, folder in enumerate(folders):
            self._progress(f"reading {self.made.world}", done / len(folders))
            self._run(folder, {role: model for role, model in references.items() if model})
        scored = any(not checkpoint.role for checkpoint in self.made.checkpoints)
        for role, model in references.items():
            if model is None and scored and self._folder / REFERENCES / role not in self._unknown:
                what = f"it has no {role.capitalize()}, beside which results are judged"
                self._find(self._folder / REFERENCES / role, what, "`salmu run` scores it")
        for folder in (self._folder / REFERENCES).glob("*/"):
            if folder.name not in ROLES:  # a model that no run made
                self._read(folder, METRICS, partial(read_unit, folder / METRICS, MetricsRecord))
        self._others()

    def _find(self, path: Path, what: str, remedy: str, damage: bool = True) -> None:
        self.made.findings.append(Finding(path, what, remedy, damage))

    def _read(self, folder: Path, name: str, read: Callable[[], R | None]) -> R | None:
        """A record whose unit is whole; what is not is noted."""
        try:
            record = read()
        except StoreError as error:
            self._unknown.add(folder)
            what = str(error).removesuffix(f": {AGAIN}").replace(f"{folder}{os.sep}", "")
            self._find(folder / name, what, AGAIN)
            return None
        except SchemaError as error:
            self._unknown.add(folder)
            self._find(folder / name, str(error), "read it with the release that wrote it", damage=False)
            return None
        if record is not None:
            self._known |= {folder / name, *(folder / file for file in record.files)}
            self.made.looked_at["files"] += 1 + len(record.files)
        return record

    def _run(self, folder: Path, references: Mapping[str, MetricsRecord]) -> None:
        again = f"delete {folder}, and {AGAIN}"
        record = self._read(folder, RUN, lambda: read_run(folder))
        if record is None:
            return
        self.made.looked_at["runs"] += 1
        self.made.runs[folder] = record
        asked = {"--budget": f"{record.budget:.15g}", "--seed": str(record.seed)}
        if any(given(record.command, option) not in ([], [number]) for option, number in asked.items()):
            self._find(folder / RUN, "its command is not the one that makes it", again)
        if (record.status == "valid") != (record.checkpoint_hash is not None):
            what = "a checkpoint" if record.checkpoint_hash else "no checkpoint"
            self._find(folder / RUN, f"it is {record.status}, and has {what}", again)
        if record.status != "valid" or record.checkpoint_hash is None:
            return
        metrics = self._scored(folder, "")
        if metrics is None and folder in self._unknown:
            return
        made_of = (record.checkpoint_hash, record.benchmark.data_hash)
        if metrics is not None and (metrics.checkpoint_hash, metrics.data_hash) != made_of:
            what = "its figures are of another checkpoint, or of other data, than the run"
            self._find(folder / METRICS, what, _score_again(folder))
            return
        on = {model.scored_on for model in references.values()}
        compromised = references["compromised"].checkpoint_hash if "compromised" in references else ""
        if lacking := refusal(record, metrics, folder, on, compromised):
            self._find(folder, lacking[1], "`salmu run`", damage=lacking[0] != "not scored")

    def _scored(self, folder: Path, role: str) -> MetricsRecord | None:
        """Figures that are whole, and those of their rows."""
        metrics = self._read(folder, METRICS, lambda: read_unit(folder / METRICS, MetricsRecord))
        if metrics is None:
            return None
        self.made.looked_at["references"] += bool(role)
        if metrics.benchmark != self.made.world:
            self._find(folder / METRICS, f"its figures are of {metrics.benchmark}", _score_again(folder))
        wrong = _unlike_rows(folder, metrics.metrics, whole=ROWS in metrics.files)
        for what in wrong:
            self._find(folder / METRICS, what, _score_again(folder))
        if not wrong:
            self.made.checkpoints.append(Checkpoint(folder, role, metrics))
        for attack in attack_folders(folder):
            self._attack(attack, metrics)
        return metrics

    def _attack(self, folder: Path, scored: MetricsRecord) -> None:
        again = f"delete {folder}, and `salmu run --attack` makes it again"
        record = self._read(folder, ATTACK, lambda: read_attack(folder))
        if record is None:
            return
        self.made.looked_at["attacks"] += 1
        if (record.checkpoint_hash, record.benchmark.data_hash) != (scored.checkpoint_hash, scored.data_hash):
            self._find(folder / ATTACK, "it is of another checkpoint, or of other data, than lie there now", again)
        if record.status == "valid":
            for what in _unlike_rows(folder, record.metrics, ROWS in record.files, record.details.get("worst")):
                self._find(folder / ATTACK, what, again)

    def _others(self) -> None:
        """What belongs to nothing: leftovers, attempts that have not ended, files of nobody."""
        for root, folders, names in os.walk(self._folder):
            for path in (Path(root, name) for name in sorted((*folders, *names)) if name.startswith(".")):
                self._hidden(path)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            here = Path(root)
            strange = [here / name for name in sorted(names) if here / name not in self._known and name[0] != "."]
            if not strange or here in self._unknown:
                continue
            if any((here / name).is_file() for name in (RUN, METRICS, ATTACK)):
                for path in strange:
                    self._find(path, "it belongs to nothing", "delete it, if nobody needs it", damage=False)
            else:
                self._find(here, "it holds files and no record", f"delete {here}, and `salmu run` makes it again")

    def _hidden(self, path: Path) -> None:
        if belongs_at(path.name) is not None:
            left = "a process that is gone has left it" if _gone(path) else "a process is writing it"
            self._find(path, left, "`salmu run` takes it away" if _gone(path) else "wait for it", damage=False)
        elif not path.name.endswith(".lock"):
            self._find(path, "an attempt at a run has not ended", "the same `salmu run` goes on", damage=False)


def _score_again(folder: Path) -> str:
    return f"delete {folder / METRICS}, and `salmu run` scores it again"


def _gone(path: Path) -> bool:
    try:
        return abandoned(path)
    except OSError:
        return True


def _unlike_rows(
    folder: Path, entries: Mapping[str, MetricEntry], whole: bool, query: str | None = None
) -> Sequence[str]:
    """What a record says that its rows do not.

    Args:
        entries: The record's, by metric.
        whole: Whether there are rows.
        query: Where rows are of several queries or stages, the one whose figures are the record's.
    """
    if not whole:
        return []
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    columns, wanted = ["metric", "column", "value"], None if query is None else pc.field(QUERY) == query
    table = pq.read_table(folder / ROWS, columns=columns, filters=wanted)
    found = table.group_by(["metric", "column"]).aggregate([("value", stat) for stat in ("mean", "min", "max")])
    return [*_differences(found.to_pylist(), entries)]


def _differences(found: Sequence[Mapping[str, Any]], entries: Mapping[str, MetricEntry]) -> Iterator[str]:
    for line in found:
        metric, column, mean = line["metric"], line["column"], line["value_mean"]
        entry = entries.get(metric)
        value = entry.values.get(column) if entry else None
        galleries = {RANK: entry.gallery, RANK_LIKE: entry.gallery_like} if entry else {}
        if value is not None and abs(value - mean) > ROUNDING * max(1.0, abs(mean)):
            yield f"{column} is {value:.12g} in the record, and {mean:.12g} over its rows"
        elif column in galleries and not 1 <= line["value_min"] <= line["value_max"] <= (galleries[column] or 0):
            yield f"{column} of {metric} lies outside the gallery of {galleries[column]}"
        elif value is None and column not in galleries:
            yield f"{column} of {metric} has rows, and no figure in the record"
