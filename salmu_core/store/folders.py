"""Run folders: where they lie, how they are written whole or not at all, how they are read and checked.

``runs/<benchmark>/<method>/<config hash>/b<budget>-s<seed>/`` holds the checkpoint, ``run.json``, ``metrics.json``,
``per_row.parquet`` and ``retrieved.parquet``, and ``state.safetensors`` where a method keeps something for the next
run. The last part says more where it has to: ``-r<digest>`` with a user's own retain pairs, ``-f<digest>`` where the
start is not Compromised, ``-q<number>of<count>-<digest>`` where a part of the forget set is meant, ``-bf16`` or
``-fp16`` where it was made in mixed precision.
``runs/<benchmark>/_references/<clean|compromised>/`` holds the metrics of the two reference models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from salmu_core.disk.files import demolish, put_back, write_text
from salmu_core.disk.hashing import EVERY_BYTE, Hashes, hash_json
from salmu_core.disk.locks import held
from salmu_core.disk.reading import RECORD, check_name, parse_json, read_text
from salmu_core.disk.record import Record, Sealed, damage_of, file_seals, seal_of
from salmu_core.errors import FileError, MissingFileError, SchemaError, StoreError
from salmu_core.store.records import MetricsRecord, RunRecord, ScoredOn
from salmu_core.store.scratch import clear_home

RUN = "run.json"
METRICS = "metrics.json"
#: Columns of `ROWS` beside a metric's figures: its ranks, in the whole gallery and among captions of the same kind.
RANK, RANK_LIKE = "rank", "rank_private"
TRACEBACK = "traceback.txt"
REFERENCES = "_references"

#: What to do about what was changed since it was written.
AGAIN = "`salmu run` makes it again"

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=Sealed)


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
    """A results folder.

    Raises:
        UsageError: Its path is no UTF-8.
    """

    def __init__(self, root: Path) -> None:
        check_name(root)
        self.root = root

    def folder(self, key: RunKey) -> Path:
        """Where a run lies, or will."""
        return self.root / key.path

    @staticmethod
    def scratch(folder: Path) -> Path:
        """Where attempts to make a run have a folder each; gone once it has a record and none is at work."""
        return folder.with_name(f".{folder.name}.work")

    @staticmethod
    def attempts(folder: Path) -> Path:
        """Where attempts to make a run are noted; gone once it has a record."""
        return folder.with_name(f".{folder.name}.attempts")

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
        with held(folder.with_name(f".{folder.name}.lock"), wait=False) as claimed:
            yield claimed

    def tidy(self, redo: bool) -> None:
        """Delete what attempts have kept of runs that have their record: who wrote that was ended just after it.

        Args:
            redo: Whether such runs are to be made again: then what was begun since the record is gone on with.
        """
        for path in [*self.root.glob("*/*/*/.*.work"), *self.root.glob("*/*/*/.*.attempts")]:
            folder = path.with_name(path.name[1:].rpartition(".")[0])
            with suppress(OSError, FileError), self.claim(folder) as claimed:
                if claimed and (folder / RUN).exists() and not (redo and _begun(self.attempts(folder), folder / RUN)):
                    clear_home(path) if path.is_dir() else demolish(path)


def _begun(attempts: Path, record: Path) -> bool:
    """Whether an attempt was begun since a record was written."""
    return attempts.exists() and attempts.stat().st_mtime_ns > record.stat().st_mtime_ns


def key_of(record: RunRecord) -> RunKey:
    """What distinguishes a run from others, as its record has it."""
    return RunKey(
        record.benchmark.name,
        record.method,
        record.config_hash,
        record.budget,
        record.seed,
        record.retain.digest,
        record.earlier[-1].checkpoint_hash[:8] if record.earlier else "",
        record.request.digest,
        record.precision,
    )


def read_run(folder: Path, hashed: Hashes = EVERY_BYTE, copied: bool = False) -> RunRecord | None:
    """The record of a run, or None if there is none; what it was written with is checked against it.

    Args:
        hashed: What hashes files: by default all of them are read, see `salmu_core.disk.file_hashes`.
        copied: Whether it may lie elsewhere than in its own place in a results folder.

    Raises:
        StoreError: The record can't be read or is another run's, or the files are not those it describes.
    """
    record = read_unit(folder / RUN, RunRecord, hashed)
    if record is None:
        return None
    if hash_json(record.config) != record.config_hash:
        raise StoreError(f"{folder / RUN} has another config than its config_hash says: {AGAIN}")
    place = key_of(record).path
    if not copied and folder.absolute().parts[-len(place.parts) :] != place.parts:
        raise StoreError(f"{folder / RUN} is the record of another run, {place}: {AGAIN}")
    return record


def read_metrics(
    folder: Path, checkpoint_hash: str, scored_on: ScoredOn | None = None, hashed: Hashes = EVERY_BYTE
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
    record = read_record(folder / METRICS, MetricsRecord, hashed)
    if record is None or record.checkpoint_hash != checkpoint_hash:
        return None
    if scored_on is not None and record.scored_on != scored_on:
        return None
    check_files(folder, record, hashed)
    return record


def check_files(folder: Path, record: Sealed, hashed: Hashes = EVERY_BYTE) -> None:
    """Check that the files beside a record are those it was written with.

    Raises:
        StoreError: They are not.
    """
    if damage := damage_of(folder, record, hashed):
        raise StoreError(f"{damage}: {AGAIN}")


def read_unit(path: Path, kind: type[S], hashed: Hashes = EVERY_BYTE) -> S | None:
    """As `read_record`, with the files beside it checked against it."""
    if (record := read_record(path, kind, hashed)) is not None:
        check_files(path.parent, record, hashed)
    return record


def read_record(path: Path, kind: type[R], hashed: Hashes = EVERY_BYTE) -> R | None:
    """A JSON record, or None if there is no such file.

    Args:
        hashed: What knows whether it was found to be whole before and has not changed.

    Raises:
        StoreError: The file is damaged.
        SchemaError: It is of another schema version.
    """
    try:
        known = hashed.known(path)
        text = read_text(path, RECORD)
        if not known:
            _check_content(path, kind, parse_json(text))
            hashed.note(path)
        return kind.model_validate_json(text)
    except (MissingFileError, FileNotFoundError):
        return None
    except FileError as error:
        if not isinstance(error.__cause__, OSError):
            raise _damaged(path, error.reason) from error
        raise StoreError(f"{path} can't be read ({error.reason}): {AGAIN}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise _damaged(path, f"{where}: {first['msg']}") from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(f"{path} is damaged ({why}): {AGAIN}")


def _check_content(path: Path, kind: type[Record], content: object) -> None:
    """Check a record's version and seal."""
    sealed, field = issubclass(kind, Sealed), kind.model_fields.get("schema_version")
    if not isinstance(content, dict):
        raise ValueError("it is no object")
    whole = content.get("seal") == seal_of(content)
    version = content.get("schema_version")
    foreign = field is not None and isinstance(version, int) and version != field.default
    if foreign and (whole or "seal" not in content):
        raise SchemaError(
            f"{path} has schema version {version}, this release reads {field and field.default} and overwrites no "
            "other: move that results folder elsewhere, or give another --output, and `salmu run` makes everything "
            "again"
        )
    if sealed and not whole:
        raise _damaged(path, "its seal is not that of its content")


def write_record(path: Path, record: Record) -> None:
    """Write a record as indented JSON, whole or not at all."""
    write_text(path, record.as_text() if isinstance(record, Sealed) else record.model_dump_json(indent=2) + "\n")


def write_unit(folder: Path, name: str, record: Sealed) -> None:
    """Write a record into a new folder, sealing all that lies there already."""
    write_record(folder / name, record.model_copy(update={"files": file_seals(folder)}))
