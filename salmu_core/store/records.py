"""What is written beside a checkpoint: typed, versioned records, readable without torch."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import Field

from salmu_core.contract.config import by_field
from salmu_core.contract.layout import FORGET, RETAIN_SYNTH, WEIGHTS, Pillar, Role, Split
from salmu_core.contract.recommended import Recommended
from salmu_core.contract.specs import MetricRole, MetricSpec
from salmu_core.disk.hashing import hash_json
from salmu_core.disk.record import Record, Sealed
from salmu_core.store.schema import ROWS, SCHEMA
from salmu_core.store.starts import WHOLE, Ancestor, RequestRef, StartRef

Status = Literal["valid", "unchanged", "non-finite", "altered", "over-budget", "crashed", "died", "not-begun"]
#: Why a run of each status other than ``valid`` is not ranked.
INVALID: dict[str, str] = {
    "unchanged": "the weights are those it began with",
    "non-finite": "a weight is NaN or infinite",
    "altered": "something a method must leave alone was changed",
    "over-budget": "more samples were drawn than the budget allows",
    "crashed": "the method raised an exception",
    "died": "its process ended without a result, time and again",
    "not-begun": "the request before it has no result",
}


class Ledger(Record):
    """What a run cost, counted at the source: but for its seconds and memory the same whichever process makes it."""

    forget_samples: int = 0
    """Forget pairs drawn."""
    retain_samples: int = 0
    """Retain pairs drawn."""
    retain_replaced: int = 0
    """Of those, pairs of the user's own that stood in for one whose image can't be decoded."""
    reference_samples: int = 0
    """Distinct pairs whose embeddings under the frozen original were asked for, whoever had made them."""
    forward_passes: int = 0
    """Batches that went through the image tower of the model being unlearned."""
    forward_images: int = 0
    """Images in those batches; more than were drawn where a method looked at its batches several times, and where
    batches were embedded in pieces, which takes each image through the tower twice for a gradient."""
    forward_captions: int = 0
    """Captions that went through the text tower of the model being unlearned."""
    backward_passes: int = 0
    """Gradient computations."""
    steps: int = 0
    """Optimizer steps."""
    probes: int = 0
    """Calls of ``probe()``."""
    seconds: float = 0.0
    """Wall time of the method, without loading and checking."""
    peak_memory_bytes: int = 0
    """Highest memory by the end of the run: allocated on the accelerator since the run began, or, on a CPU,
    resident since the process began."""
    weights_changed: float = 0.0
    """Share of the weights that differ from those it began with, from 0 to 1."""


class FitRecord(Record):
    """One call of the training loop."""

    first_step: int
    """Optimizer steps made before it."""
    batch_size: int
    """Pairs of each set in a step: what was asked, or what the smaller set has."""
    settings: dict[str, Any]
    """All of its config: the run's, or the one it was given."""


class PluginRef(Record):
    """Where a declaration came from."""

    distribution: str
    version: str
    code_hash: str
    """SHA-256 of the source of the module that declares it; of a wrapper, with that of the loss it stands on."""


class BenchmarkRef(Record):
    """Which data a run was made on."""

    name: str
    data_hash: str
    """SHA-256 over the names and contents of the benchmark's data files, and the number of training pairs."""
    start_model_hash: str
    """SHA-256 of the weights of Compromised, with which every chain of runs begins."""


class RetainShard(Record):
    """A tar file that retain pairs were drawn from."""

    name: str
    sha256: str
    pairs: int
    """Samples with both an image and a caption."""
    left_out: int
    """Samples that lack one of them."""


class RetainRef(Record):
    """Which retain pairs a run could draw."""

    share: float = 0.0
    """Share of every retain batch that came from shards; the rest is the benchmark's ``retain_synth``."""
    shards: tuple[RetainShard, ...] = ()

    @property
    def digest(self) -> str:
        """Tells runs with other retain data apart; empty for the benchmark's own."""
        return hash_json([self.share, [shard.sha256 for shard in self.shards]])[:8] if self.shards else ""

    @property
    def label(self) -> str:
        """For tables."""
        return f"{self.share:.3g} from {sum(s.pairs for s in self.shards):,} pairs ({self.digest})"


class RunRecord(Sealed):
    """``run.json``: everything needed to say what a checkpoint is and to make it again."""

    schema_version: int = SCHEMA
    status: Status
    reason: str = ""
    """For a run that is not valid: what is wrong, in a sentence."""
    benchmark: BenchmarkRef
    method: str
    plugin: PluginRef
    config: dict[str, Any]
    config_hash: str
    budget: float
    seed: int
    recommended: Recommended | None = None
    """What of its config and budget the benchmark recommended, and nobody set otherwise."""
    retain: RetainRef = RetainRef()
    """Beside the forget set, what it could be trained on."""
    start: StartRef = StartRef()
    """What it began with."""
    request: RequestRef = WHOLE
    """What it was asked to forget."""
    ledger: Ledger
    fits: tuple[FitRecord, ...] = ()
    """The calls of the training loop, in order."""
    scalars: dict[str, list[tuple[int, float]]] = Field(default_factory=dict)
    """What the loop and the method logged: name -> (step, value)."""
    environment: dict[str, str]
    """Versions of Python, the core and the libraries that compute; device, precision, CPU threads; ``isolation``, which
    Landlock kept the method to its process; where they were, ``micro-batch``, the pairs that were embedded at a time in
    the end, and ``compiled``, how the towers were."""
    command: str
    """The command that makes this run again."""
    started: str
    """UTC, ISO 8601."""

    @property
    def checkpoint_hash(self) -> str | None:
        """SHA-256 of ``open_clip_model.safetensors``; None if no checkpoint was written."""
        return self.sha256_of(WEIGHTS)

    @property
    def variant(self) -> str:
        """Tells the settings of a method's runs apart: its config, what it could train on, and in which precision."""
        return "-".join(filter(None, [self.config_hash, self.retain.digest, self.precision]))

    @property
    def precision(self) -> str:
        """Mixed precision that it was made in; empty for float32."""
        return {"no": "", "None": ""}.get(told := self.environment.get("precision", ""), told)

    @property
    def earlier(self) -> tuple[Ancestor, ...]:
        """What was done to Compromised before the first request of its sequence, oldest first."""
        own = self.request.number - 1 if self.status != "not-begun" else 0
        return self.start.runs[: len(self.start.runs) - own]

    @property
    def origin(self) -> str:
        """What the first request of its sequence began with, in a few words; empty for Compromised."""
        return ", then ".join(run.label for run in self.earlier)

    @property
    def settings(self) -> dict[str, Any]:
        """Its config, and where they are not the usual, what it could train on and its precision."""
        retain = {"retain": self.retain.label} if self.retain.shards else {}
        return {**by_field(self.config), **retain, **({"precision": self.precision} if self.precision else {})}

    @property
    def trained_on(self) -> frozenset[str]:
        """Splits whose pairs it drew."""
        drawn = [FORGET] * (self.ledger.forget_samples > 0)
        if self.ledger.retain_samples and self.retain.share < 1:
            drawn += [RETAIN_SYNTH, "retain_joint", "retain_disjoint", "fragile_set"]
        return frozenset(drawn)

    @property
    def needs(self) -> str:
        """Which data it looked at, as the runner counted: ``forget + retain``, ``weights only``, ..."""
        pools = {"forget": self.ledger.forget_samples, "retain": self.ledger.retain_samples}
        drawn = [pool for pool, samples in pools.items() if samples]
        if "retain" in drawn and self.retain.shards:
            drawn[-1] = "own retain pairs"
        return " + ".join(drawn) or "weights only"


class MetricDeclaration(Record):
    """What a metric says it is: with it, figures can be judged where its plugin is not installed."""

    summary: str
    pillar: Pillar
    target: Role
    role: MetricRole
    reads: tuple[Split, ...]
    """The first is the split whose rows it is about."""
    columns: tuple[str, ...]
    """Names of its figures in tables and files; the first is the one its role is about."""
    bounds: tuple[float, float] | None
    primary: bool

    @classmethod
    def of(cls, spec: MetricSpec) -> MetricDeclaration:
        """What is recorded of a declaration."""
        return cls(**{name: getattr(spec, name) for name in cls.model_fields})


class MetricEntry(Record):
    """A metric as it stands in ``metrics.json``: values, or an error, never nothing."""

    declared: MetricDeclaration
    values: dict[str, float] = Field(default_factory=dict)
    """Column name -> value."""
    chance: dict[str, float] = Field(default_factory=dict)
    """Column name -> value that guessing gives, where the metric says it."""
    gallery: int | None = None
    """Captions among which its ranks are; None of a metric without ranks."""
    gallery_like: int | None = None
    """Captions of the own one's kind among them."""
    details: dict[str, Any] = Field(default_factory=dict)
    error: str | None = None
    not_measured: str | None = None
    """Why there is no value though nothing went wrong: the benchmark has not what the metric needs."""
    plugin: str
    """``distribution version`` of the plugin that computed it."""
    code_hash: str


class ScoredOn(NamedTuple):
    """Which data metrics were computed on."""

    data_hash: str
    zeroshot_hash: str = ""


class MetricsRecord(Sealed):
    """``metrics.json``: every metric of one checkpoint."""

    schema_version: int = SCHEMA
    benchmark: str
    data_hash: str
    """As a run's."""
    zeroshot_hash: str = ""
    """SHA-256 over the zero-shot set; empty where there was none."""
    checkpoint_hash: str
    metrics: dict[str, MetricEntry]
    images_encoded: int
    captions_encoded: int
    seconds: float

    @property
    def rows_hash(self) -> str | None:
        """SHA-256 of ``per_row.parquet``; None where no metric has rows."""
        return self.sha256_of(ROWS)

    @property
    def scored_on(self) -> ScoredOn:
        """Which data its metrics were computed on."""
        return ScoredOn(self.data_hash, self.zeroshot_hash)

    @property
    def values(self) -> dict[str, float]:
        """All figures by column name."""
        return {column: value for entry in self.metrics.values() for column, value in entry.values.items()}

    @property
    def errors(self) -> dict[str, str]:
        """Metric name -> what went wrong with it."""
        return {name: entry.error for name, entry in self.metrics.items() if entry.error}

    @property
    def not_measured(self) -> dict[str, str]:
        """Metric name -> what the benchmark lacks for it."""
        return {name: entry.not_measured for name, entry in self.metrics.items() if entry.not_measured}
