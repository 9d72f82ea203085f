"""What of a plan is still to be done. Nothing here needs torch, so a finished study answers at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from salmu_core.benchmark.folder import Benchmark
from salmu_core.contract.layout import ROLES
from salmu_core.contract.specs import MethodSpec, MetricSpec
from salmu_core.disk.file_hashes import Stamps
from salmu_core.disk.hashing import EVERY_BYTE, Hashes
from salmu_core.errors import StoreError
from salmu_core.plugins.code import code_hash
from salmu_core.plugins.zoo import Declared, Shelf
from salmu_core.store.folders import AGAIN, RUN, RunKey, Store, read_metrics, read_record, read_run
from salmu_core.store.records import RunRecord, ScoredOn
from salmu_core.study.attacks import Assault, PlannedAttack, outstanding_attacks
from salmu_core.study.plan import Planned


@dataclass
class Outstanding:
    """What is still to be done, and what should be said about the rest.

    Attributes:
        runs: Runs to be made.
        checkpoints: Runs whose checkpoint is there and lacks metrics.
        references: Reference models that lack metrics, or are scored again.
        attacks: Attacks to be made, each on one checkpoint.
        finished: Number of runs with nothing left to do.
        failed: Number of those that have no result; they are made again once their plugin's code changes.
        notes: Damage that will be mended.
        older: Method -> number of finished runs that another version of its code made.
        scores: Whether runs are scored once they are made.
    """

    runs: list[Planned] = field(default_factory=list)
    checkpoints: list[Planned] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    attacks: list[Assault] = field(default_factory=list)
    finished: int = 0
    failed: int = 0
    notes: list[str] = field(default_factory=list)
    older: Counter[str] = field(default_factory=Counter)
    scores: bool = True

    @property
    def unscored(self) -> Outstanding:
        """The runs of it alone: nothing is scored or attacked."""
        return replace(self, checkpoints=[], references=[], attacks=[], scores=False)

    @property
    def size(self) -> int:
        """Pieces of work: runs to make, checkpoints to score, attacks; 0 where everything is done."""
        return (1 + self.scores) * len(self.runs) + len(self.checkpoints) + len(self.references) + len(self.attacks)


def outstanding(
    plan: Sequence[Planned],
    benchmark: Benchmark,
    store: Store,
    metrics: Sequence[Declared[MetricSpec]],
    redo: bool = False,
    attacks: Sequence[PlannedAttack] = (),
) -> Outstanding:
    """Compare a plan with what lies in the results folder.

    A valid run is never made again by itself; an invalid one is when its plugin's code has changed.

    Raises:
        StoreError: A result there was made on other data than the benchmark's.
        SchemaError: A result there is of another release.
    """
    todo = Outstanding()
    there: dict[RunKey, RunRecord] = {}
    with Stamps(store.root) as stamps:
        for planned in plan:
            folder = store.folder(planned.key)
            try:
                record = read_record(folder / RUN, RunRecord) if redo else read_run(folder, stamps)
            except StoreError as error:
                todo.notes.append(f"Made again: {str(error).removesuffix(f': {AGAIN}')}")
                record = None
            if record is None or redo or not _goes_on(planned, record, there):
                todo.runs.append(planned)
                continue
            _same_data(folder, record, benchmark)
            changed = record.plugin.code_hash != planned.code
            if record.status != "valid" and changed:
                todo.runs.append(planned)
                continue
            there[planned.key] = record
            if needs_metrics(folder, record, metrics, benchmark.scored_on, todo.notes, stamps):
                todo.checkpoints.append(planned)
            else:
                todo.finished += 1
                todo.failed += record.status != "valid"
                todo.older[planned.key.method] += changed
        for role in ROLES:
            folder = store.reference(benchmark.name, role)
            if redo or lacks_metrics(
                folder, benchmark.model_hash(role), metrics, benchmark.scored_on, todo.notes, stamps
            ):
                todo.references.append(role)
        unmade = {planned.key for planned in todo.runs}
        todo.attacks += outstanding_attacks(attacks, plan, unmade, benchmark, store, stamps, redo)
    return todo


def _goes_on(planned: Planned, record: RunRecord, there: Mapping[RunKey, RunRecord]) -> bool:
    """Whether a finished request went on from what the one before it left, which is there and stays."""
    if planned.before is None:
        return True
    before = there.get(planned.before)
    if before is None or before.status != "valid":
        return before is not None and record.status == "not-begun"
    return record.start.checkpoint_hash == before.checkpoint_hash


def made_by_other_code(record: RunRecord, methods: Shelf[MethodSpec]) -> bool:
    """Whether the code of an installed method, or of the loss it stands on, is another one than when it made a run."""
    method, inner = methods[record.method], []
    if method.over:
        if record.config["loss"] not in methods:
            return False
        inner = [methods[record.config["loss"]].module]
    return record.plugin.code_hash != code_hash(method.module, *inner)


def older_note(older: Counter[str]) -> str:
    """What to say of finished runs that another version of their method's code made, by method; empty of none."""
    made = ", ".join(f"{method} ({runs})" for method, runs in sorted(older.items()) if runs)
    said = f"Another version of the method's code made finished runs of {made}; `salmu run --redo` makes them again."
    return said if made else ""


def needs_metrics(
    folder: Path,
    record: RunRecord,
    metrics: Sequence[Declared[MetricSpec]],
    scored_on: ScoredOn,
    notes: list[str],
    hashed: Hashes = EVERY_BYTE,
) -> bool:
    """Whether a run has a valid checkpoint that some metric has not been computed for."""
    if record.status != "valid" or record.checkpoint_hash is None:
        return False
    return lacks_metrics(folder, record.checkpoint_hash, metrics, scored_on, notes, hashed)


def lacks_metrics(
    folder: Path,
    checkpoint_hash: str,
    metrics: Sequence[Declared[MetricSpec]],
    scored_on: ScoredOn,
    notes: list[str],
    hashed: Hashes = EVERY_BYTE,
) -> bool:
    """Whether some metric, as it is now, has not been computed for the checkpoint whose results lie in a folder."""
    try:
        record = read_metrics(folder, checkpoint_hash, scored_on, hashed)
    except StoreError as error:
        notes.append(f"Scored again: {str(error).removesuffix(f': {AGAIN}')}")
        return True
    if record is None:
        return True
    return any(
        m.card.name not in record.metrics or record.metrics[m.card.name].code_hash != code_hash(m.module)
        for m in metrics
    )


def _same_data(folder: Path, record: RunRecord, benchmark: Benchmark) -> None:
    made_of = (record.benchmark.data_hash, record.benchmark.start_model_hash)
    if made_of != (benchmark.data_hash, benchmark.model_hash("compromised")):
        raise StoreError(
            f"{folder} was made on other data, or from another model, than {benchmark.folder} holds now: "
            "choose another --output, or delete that folder"
        )
