"""``certificate-ID.json``: everything a certificate says, typed and versioned. The page shows this and portraits."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from salmu_core.contract.specs import MetricRole
from salmu_core.disk.record import Record
from salmu_core.judge.statistics import Interval

#: Raised whenever a field changes its meaning.
CERTIFICATE_SCHEMA = 1
KIND = "salmu-certificate"

Part = Literal["forget", "keep", "ordinary"]


class Word(StrEnum):
    """A verdict on what was to be forgotten of a person, or on what was to be kept. The rules: docs/certificate.md."""

    STILL = "still retrievable"
    TRACE = "not retrievable, but not as if never seen"
    GONE = "not retrievable any more"
    OPEN = "can't be told"
    NEVER = "never shown to be retrievable"
    KEPT = "kept"
    PARTLY = "kept only in part"
    ERASED = "erased by mistake"
    UNKNOWN = "never shown to be known"


class Stand(StrEnum):
    """Where a value of the run stands to the model it is held against."""

    AS = "as in Clean"
    ABOVE = "above Clean"
    BELOW = "below Clean"
    HIGHER = "higher than before"
    LOWER = "lower than before"
    SAME = "no change shown"
    OPEN = "can't be told"


class Ends(Record):
    """A mean with its 95% interval over the person's attributes."""

    value: float
    low: float | None
    """None where the interval is not bounded: one attribute says nothing of others."""
    high: float | None

    @classmethod
    def of(cls, interval: Interval, low: float = -float("inf"), high: float = float("inf")) -> Ends:
        """An interval, cut where the figure can't lie."""
        return cls(
            value=interval.value,
            low=None if interval.low == -float("inf") else max(interval.low, low),
            high=None if interval.high == float("inf") else min(interval.high, high),
        )


class Three(Record):
    """One value in Compromised, in this run and in Clean."""

    before: float
    after: float
    clean: float


class Pair(Record):
    """One association: an image and what its caption tells."""

    split: str
    """``forget``: to be forgotten; ``holdout_association``: to be kept; ``holdout_identity``: to be kept, of a person
    of whom no method was shown anything."""
    field: str
    caption: str
    file_name: str
    rank: Three | None
    """Place of the caption among those of the gallery, from 1; ties count half."""
    rank_private: Three | None = None
    """The same among captions to be forgotten alone, without those that describe pictures; None where not measured."""
    cosine: Three | None
    rank_is: Stand | None
    """The run's value, held against the range of nine in ten of Clean's rows of this split."""
    cosine_is: Stand | None
    found: bool
    """Whether the caption is shown to be found better than by guessing, and is not in Clean."""
    found_before: bool
    """The same of Compromised."""
    others_first: tuple[bool, bool, bool] | None
    """Whether another caption of this person comes among the first ones: before, after, in Clean."""


class Summary(Record):
    """Means over one part of a person's rows."""

    part: Part
    measure: Literal["mean reciprocal rank", "mean cosine"]
    rows: int
    unit: Literal["attribute", "caption"]
    """What intervals are over."""
    units: int
    before: Ends
    after: Ends
    clean: Ends
    gallery: int | None = None
    """Captions among which a rank is; None of cosines."""
    guessing: float | None = None
    """What guessing gives."""


class Level(Record):
    """What may be left of the mean reciprocal rank, and the run's less that."""

    value: float
    excess: Ends


class Judgement(Record):
    """The verdict on one part, and what it rests on."""

    part: Part
    word: Word
    said: str
    """What it rests on, in figures, on one line."""
    reasons: tuple[str, ...]
    """The same in sentences."""
    known: bool
    """Whether Compromised is shown to know more than Clean."""
    allowed: dict[str, Level] = Field(default_factory=dict)
    """Of what was to be forgotten: levels of the mean reciprocal rank, the highest of which counts as gone."""
    found: tuple[str, ...] = ()
    """File names of the captions that are shown to be found."""
    named: bool | None = None
    """Whether the person is shown to be named right more often than Clean names people; None if nobody asked."""
    leaking: tuple[str, ...] = ()
    """Figures of leaks, measured otherwise than by ranks, that are shown to lie above a model that never saw them."""
    unasked: tuple[str, ...] = ()
    """What was not measured, though the rules ask for it: without it nobody is called forgotten."""
    unlike_clean: tuple[str, ...] = ()
    """Figures that are shown to be unlike a model that never saw this person."""
    retention: dict[str, Ends] = Field(default_factory=dict)
    """Of what was to be kept: measure -> (x - Clean) / (Compromised - Clean)."""


class Trial(Record):
    """What one metric found on the person's rows."""

    metric: str
    column: str
    role: MetricRole
    """What the metric may be taken for."""
    what: str
    """In plain words."""
    part: Part
    target: Literal["clean", "compromised"] | None
    rows: int
    units: int
    values: Three
    difference: Ends
    """From the target: the run's value less Clean's, or less Compromised's."""
    never_seen: tuple[float, float] | None
    """Of a figure whose target is Clean: its range in Clean. Nineteen in twenty people lie in all such ranges."""
    people: int
    """Over how many people the ranges are."""
    guessing: float | None
    stand: Stand


class Attempt(Record):
    """What an attack on the run brought back of the person: values, and after less Clean, are under the attack."""

    attack: str
    holds: str
    figure: str
    query: str
    rows: int = 0
    values: Three | None = None
    without: float | None = None
    difference: Ends | None = None
    stand: Stand | None = None
    everybody: Ends | None
    shows: str


class Worst(Record):
    """The attribute of which most is left."""

    field: str
    mean_reciprocal_rank: float
    best_rank: float
    captions: int


class Standing(Record):
    """Where a person stands among others of the same split in this run."""

    part: Part
    measure: str
    value: float
    place: int
    """1: of nobody more is left (or, of what is to be kept, lost)."""
    of: int
    better_off: float
    """Share of the others of whom less is left, or lost."""
    worst: Worst | None = None


class Mode(Record):
    """A failure mode of the whole run."""

    mode: str
    asks: str
    measured: dict[str, Ends]
    """Intervals here are over people."""
    says: Literal["shown", "can't be told", "not shown", "not measured"]


class Population(Record):
    """What became of everybody else."""

    verdict: str
    caution: str
    """What that means for the verdict on this person; empty if nothing."""
    modes: tuple[Mode, ...]
    figures: dict[str, Three]
    """Leaks over all people, and general knowledge, where measured."""


class Subject(Record):
    """Whom it is about."""

    identity_id: str
    name: str
    group: str
    associations: int
    attributes: tuple[str, ...]
    rows_hash: str
    """SHA-256 over split, file name and caption of each association, in order."""


class Hashes(Record):
    """SHA-256 of what was looked at."""

    checkpoint: str
    """Of the run's weights, computed anew when the certificate was made, and equal to the recorded one."""
    start_model: str
    clean_model: str
    data: str
    method_code: str
    rows: dict[str, str | None]
    """Of ``per_row.parquet``: before, after, Clean."""
    retrieved: dict[str, str | None]
    metric_code: dict[str, str]
    """Metric -> plugin, version and hash of its code."""


class Certificate(Record):
    """A whole certificate."""

    kind: Literal["salmu-certificate"] = "salmu-certificate"
    schema_version: int = CERTIFICATE_SCHEMA
    issued: str
    """UTC, ISO 8601."""
    issued_with: dict[str, str]
    """Versions of what made the certificate."""
    person: Subject
    verdicts: tuple[Judgement, ...]
    summaries: tuple[Summary, ...]
    standing: tuple[Standing, ...]
    trials: tuple[Trial, ...]
    not_measured: dict[str, str]
    """Metric -> why it says nothing of this person."""
    attempts: tuple[Attempt, ...] = ()
    not_tried: tuple[str, ...]
    shows: tuple[str, ...]
    does_not_show: tuple[str, ...]
    pairs: tuple[Pair, ...]
    population: Population
    notice: str
    benchmark: str
    method: str
    plugin: str
    config: dict[str, Any]
    budget: float
    seed: int
    retain: str
    """Retain pairs of the user's own; empty where there were none."""
    made: str
    """When the run began."""
    made_with: dict[str, str]
    """Versions of Python, the core and the libraries that computed the run; device, precision, threads."""
    command: str
    """The command that makes the run again."""
    hashes: Hashes
