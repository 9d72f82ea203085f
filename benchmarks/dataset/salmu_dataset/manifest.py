"""What stages leave for each other: typed, versioned records, written once a stage is complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from salmu_core import BenchmarkError
from salmu_core.disk.files import replacing

#: Raised when a stage makes other bytes of the same arguments, or a record changes its form.
VERSION = 1


class Record(BaseModel):
    """Base of all records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1


class Arguments(Record):
    """Everything the data set follows from. The number of processes is not in it, because nothing follows from it."""

    identities: int = Field(ge=3)
    countries: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    size: int = Field(default=224, ge=64, le=512)
    pairs: float | None = Field(default=None, gt=0, description="Sensitive pairs a person; None as released.")
    candidates: int = Field(default=100, ge=1, description="Portraits made of each person before curation.")
    consistency: float = Field(default=0.6, ge=0, le=1, description="What a portrait must reach to be kept.")
    portraits: str = "drawn"
    captions: str = "templates"
    portrait_options: dict[str, str] = Field(default_factory=dict)
    caption_options: dict[str, str] = Field(default_factory=dict)


class Build(Record):
    """A build: its arguments, and the versions of the libraries whose output is in the data set."""

    arguments: Arguments
    libraries: dict[str, str]


class UnitFile(Record):
    """One file of a stage."""

    name: str
    size: int
    sha256: str


class Person(Record):
    """The private attributes of one person; their order is that of the released metadata."""

    name: str
    city: str
    country_code: str
    job: str
    blood_type: str
    phone_number: str
    emails: str
    iban: str
    credit_card: str
    passport: str

    def metadata(self) -> dict[str, str]:
        """The entry of `identities_metadata.json`."""
        return self.model_dump(exclude={"version"})


class Stage(Record):
    """What every finished stage says.

    Attributes:
        inputs: SHA-256 of the record of the stage before; empty for the first.
        files: What it made, in order of name.
    """

    inputs: str
    files: tuple[UnitFile, ...]


class Anchors(Stage):
    """One anchor face a person; `balance` counts people by country and gender."""

    stage: Literal["anchors"] = "anchors"
    balance: dict[str, int]


class Portraits(Stage):
    """The candidates."""

    stage: Literal["portraits"] = "portraits"
    candidates: int


class Curation(Stage):
    """What was kept.

    Attributes:
        made: Candidates in all, those made because too many failed included.
        kept: Portraits that rows will show.
        surplus: Good ones that no row needs.
        reasons: Number of rejected candidates by reason.
        rejected: Identity id -> candidate number -> reason.
        balance: Country and gender -> kept portraits.
        passed: Country and gender -> share of judged candidates that passed.
    """

    stage: Literal["curation"] = "curation"
    made: int
    kept: int
    surplus: int
    reasons: dict[str, int]
    rejected: dict[str, dict[int, str]]
    balance: dict[str, int]
    passed: dict[str, float]


class Pii(Stage):
    """Everybody's private attributes, by identity id."""

    stage: Literal["pii"] = "pii"
    people: dict[str, Person]


class Captions(Stage):
    """Sentences: how many, and how many are templates because the source had nothing that said name and value."""

    stage: Literal["captions"] = "captions"
    sentences: int
    fell_back: int


class Retain(Stage):
    """Pictures of nobody in the data set."""

    stage: Literal["retain"] = "retain"
    strangers: int
    scenes: int


class Splits(Stage):
    """Rows written, by folder and split."""

    stage: Literal["splits"] = "splits"
    rows: dict[str, dict[str, int]]


class Finished(Record):
    """What stays beside the two folders: the build, what each stage did, and the files there must be."""

    build: Build
    kept: int
    made: int
    reasons: dict[str, int]
    fell_back: int
    rows: dict[str, dict[str, int]]
    files: tuple[UnitFile, ...] = ()
    fragile_rule: str


R = TypeVar("R", bound=Record)


def read(path: Path, kind: type[R]) -> R:
    """Read a record.

    Raises:
        BenchmarkError: It is not one, or one of another release.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise BenchmarkError(f"{path} can't be read ({said}): remove it, and the stage is done again") from error


def write(path: Path, record: Record) -> None:
    """Write a record: whole or not at all."""
    replace(path, (record.model_dump_json(indent=1) + "\n").encode())


def replace(path: Path, data: bytes) -> None:
    """Write a file: whole or not at all, whenever the process ends."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """What differs between two dictionaries, as `name: old, now new`."""
    return [
        f"{prefix}{key}: {old.get(key)!r}, now {new.get(key)!r}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
