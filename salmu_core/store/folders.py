"""Run folders: where they lie, how they are written whole or not at all, how they are read and checked.

``runs/<benchmark>/<method>/<config hash>/b<budget>-s<seed>/`` holds the checkpoint, ``run.json``, ``metrics.json``,
``per_row.parquet`` and ``retrieved.parquet``, and ``state.safetensors`` where a method keeps something for the next
run. The last part says more where it has to: ``-r<digest>`` with a user's own retain pairs, ``-f<digest>`` where the
start is not Compromised, ``-q<number>of<count>-<digest>`` where a part of the forget set is meant, ``-bf16`` or
``-fp16`` where it was made in mixed precision.
``runs/<benchmark>/_references/<clean|compromised>/`` holds the metrics of the two reference models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from salmu_core.contract.layout import WEIGHTS
from salmu_core.disk.files import put_back, write_text
from salmu_core.disk.hashing import hash_file
from salmu_core.disk.reading import RECORD, read_json
from salmu_core.disk.record import Record
from salmu_core.errors import FileError, MissingFileError, SchemaError, StoreError
from salmu_core.store.records import MetricsRecord, RunRecord, ScoredOn

RUN = "run.json"
METRICS = "metrics.json"
ROWS = "per_row.parquet"
RETRIEVED = "retrieved.parquet"
STATE = "state.safetensors"
#: Columns of `ROWS` beside a metric's figures: its ranks, in the whole gallery and among captions of the same kind.
RANK, RANK_LIKE = "rank", "rank_private"
TRACEBACK = "traceback.txt"
REFERENCES = "_references"

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class RunKey:
    """What distinguishes one run from another."""

    benchmark: str
    method: str
    config_hash: str
    budget: float
    seed: int
    retain: str = ""
    """Digest of a user's own retain pairs."""
    start: str = ""
    """Digest of the checkpoint that it, or the first request of its sequence, begins with; empty for Compromised."""
    request: str = ""
    """`RequestRef.digest` of the part to be forgotten; empty for the whole forget set."""
    precision: str = ""
    """Mixed precision that it computes in; empty for float32."""

    @property
    def path(self) -> Path:
        """The run's folder, relative to the results folder."""
        name = f"b{self.budget:.15g}-s{self.seed}{self.suffix}"
        return Path(self.benchmark, self.method, self.config_hash[:12], name)

    def __str__(self) -> str:
        number, _, count = self.request.partition("-")[0].partition("of")
        start, request = f" from {self.start}" * bool(self.start), f", request {number} of {count}" * bool(number)
        precision = f" in {self.precision}" * bool(self.precision)
        return f"{self.method} b{self.budget:g} s{self.seed} ({self.config_hash[:6]}){precision}{start}{request}"

    @property
    def sequence(self) -> RunKey:
        """What the requests of one sequence share."""
        return replace(self, request="")

    @property
    def suffix(self) -> str:
        """What its folder says of retain pairs, start, request and precision; empty for an ordinary run."""
        digests = {"r": self.retain, "f": self.start, "q": self.request, "": self.precision}
        return "".join(f"-{letter}{digest}" for letter, digest in digests.items() if digest)


class Store:
    """A results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: RunKey) -> Path:
        """Where a run lies, or will."""
        return self.root / key.path

    def reference(self, benchmark: str, role: str) -> Path:
        """Where the metrics of ``clean`` or ``compromised`` lie, or will."""
        return self.root / benchmark / REFERENCES / role

    def runs(self, benchmark: str) -> Iterator[Path]:
        """All run folders of a benchmark, in order of their paths."""
        found = (path.parent for path in (self.root / benchmark).glob(f"*/*/*/{RUN}"))
        folders = (put_back(folder) if folder.name.startswith(".") else folder for folder in found)
        yield from sorted(filter(None, folders))

    def benchmarks(self) -> list[str]:
        """Names of the benchmarks with results here."""
        return sorted({p.relative_to(self.root).parts[0] for p in self.root.glob(f"*/*/*/*/{RUN}")})

    @contextmanager
    def claim(self, folder: Path) -> Iterator[bool]:
        """Hold a folder against other processes; yields False if another one holds it."""
        from filelock import FileLock, Timeout

        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f".{folder.name}.lock"))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


def read_run(folder: Path, hashed: Callable[[Path], str] = hash_file) -> RunRecord | None:
    """The record of a run, or None if there is none; its checkpoint and its method's state are checked against it.

    Args:
        folder: The run's.
        hashed: What hashes them: by default all of it is read, see `salmu_core.disk.file_hashes`.

    Raises:
        StoreError: The record can't be read, or they are not those it describes.
    """
    record = read_record(folder / RUN, RunRecord)
    written = {WEIGHTS: record.checkpoint_hash, STATE: record.state_hash} if record else {}
    for name, content in written.items():
        if content is None:
            continue
        if not (folder / name).is_file():
            raise StoreError(f"{folder / name} is missing though {RUN} describes it: {_remedy(folder)}")
        if hashed(folder / name) != content:
            raise StoreError(f"{folder / name} is damaged (its hash is not the recorded one): {_remedy(folder)}")
    return record


def read_metrics(
    folder: Path,
    checkpoint_hash: str,
    scored_on: ScoredOn | None = None,
    hashed: Callable[[Path], str] = hash_file,
) -> MetricsRecord | None:
    """The metrics that lie in a folder, or None if there are none for this checkpoint and these data.

    Args:
        folder: A run's, or a reference model's.
        checkpoint_hash: Of which model.
        scored_on: On which data; by default on any.
        hashed: What hashes the tables beside it.

    Raises:
        StoreError: A file can't be read or isn't the one that was written.
    """
    record = read_record(folder / METRICS, MetricsRecord)
    if record is None or record.checkpoint_hash != checkpoint_hash:
        return None
    if scored_on is not None and record.scored_on != scored_on:
        return None
    check_tables(folder, record, hashed)
    return record


def check_tables(folder: Path, record: MetricsRecord, hashed: Callable[[Path], str] = hash_file) -> None:
    """Check that the tables beside a record are those it was written with.

    Raises:
        StoreError: They are not.
    """
    for table, written in ((folder / ROWS, record.rows_hash), (folder / RETRIEVED, record.retrieved_hash)):
        if written is not None and (not table.is_file() or hashed(table) != written):
            raise StoreError(f"{table} is missing or damaged: {_remedy(folder, METRICS)}")


def _remedy(folder: Path, part: str = "") -> str:
    return f"delete {folder / part} and run again"


def read_record(path: Path, kind: type[R]) -> R | None:
    """A JSON record, or None if there is no such file.

    Raises:
        StoreError: The file is damaged.
        SchemaError: It is of another schema version.
    """
    try:
        content = read_json(path, limit=RECORD)
    except MissingFileError:
        return None
    except FileError as error:
        fault = "can't be read" if isinstance(error.__cause__, OSError) else "is damaged"
        raise StoreError(f"{path} {fault} ({error.reason}): delete it and run again") from error
    try:
        record = kind.model_validate(content)
    except ValidationError as error:
        _check_schema(path, content.get("schema_version"), kind)  # a record of another version has other fields
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise StoreError(f"{path} is damaged ({where}: {first['msg']}): delete it and run again") from error
    _check_schema(path, getattr(record, "schema_version", None), kind)
    return record


def _check_schema(path: Path, version: object, kind: type[Record]) -> None:
    field = kind.model_fields.get("schema_version")
    if field is not None and isinstance(version, int) and version != field.default:
        raise SchemaError(
            f"{path} has schema version {version}, this release reads {field.default} and overwrites no other: "
            "move that results folder elsewhere, or give another --output, and `salmu run` makes everything again"
        )


def write_record(path: Path, record: Record) -> None:
    """Write a record as indented JSON, whole or not at all."""
    write_text(path, record.model_dump_json(indent=2) + "\n")
