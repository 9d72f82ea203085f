"""What plugins declare: frozen pydantic models, and nothing that runs by itself.

Importing this module costs no torch, so listings stay quick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args

from pydantic import Field, JsonValue, StringConstraints, field_validator, model_validator

from salmu_core.contract.config import MethodConfig, TrainingConfig, check_defaults
from salmu_core.contract.declared import KnownFailures, Link, MetricName, Name, Sentence, Spec
from salmu_core.contract.kinds import columns_of
from salmu_core.contract.layout import BASE_SPLITS, FORGET, Pillar, Role, Split
from salmu_core.contract.progress import Progress
from salmu_core.contract.recommended import Recommended

if TYPE_CHECKING:
    from salmu_core.contract.context import Loss, MethodContext
    from salmu_core.contract.metric_context import MetricContext
    from salmu_core.contract.results import MetricResult

    Unlearn = Callable[[MethodContext[Any]], None]
    Compute = Callable[[MetricContext], MetricResult]
else:  # pydantic only asks whether they can be called; naming the types would cost importing torch
    Loss = Unlearn = Compute = Callable

#: Splits whose rows and people can be announced.
COUNTED_SPLITS = (*BASE_SPLITS, "forget_identity", "forget_association")


#: What the judge may take a metric for; `METRIC_ROLES` says what each means.
MetricRole = Literal["leak", "association", "naming", "holdout", "knowledge", "other"]


class RoleOfMetric(NamedTuple):
    """What the judge takes metrics of a role for, and what it asks of them.

    Attributes:
        meaning: In a sentence.
        splits: Splits whose rows it may be about; none where any will do.
        from_zero: Whether 0 must mean that nothing is there: the judge asks which share of it is left.
    """

    meaning: str
    splits: tuple[Split, ...] = ()
    from_zero: bool = False


_FORGOTTEN: tuple[Split, ...] = ("forget", "forget_identity", "forget_association")
_HOLDOUTS: tuple[Split, ...] = ("holdout_identity", "holdout_association")
METRIC_ROLES: dict[MetricRole, RoleOfMetric] = {
    "leak": RoleOfMetric(
        "How far the model still gives away what was to be forgotten: must fall to Clean's.", _FORGOTTEN, from_zero=True
    ),
    "association": RoleOfMetric(
        "Each row is the cosine of an image with its own caption: of holdouts, must be kept; of others, is shown."
    ),
    "naming": RoleOfMetric("How often somebody who was to be forgotten is named right.", _FORGOTTEN),
    "holdout": RoleOfMetric(
        "What the model knows of a holdout set, otherwise than by cosine: must be kept.", _HOLDOUTS
    ),
    "knowledge": RoleOfMetric(
        "What the model knows in general: must not fall.",
        tuple(split for split in get_args(Split) if split not in (*_FORGOTTEN, *_HOLDOUTS)),
        from_zero=True,
    ),
    "other": RoleOfMetric("Is shown beside its target, and takes part in no verdict."),
}


class MethodSpec(Spec):
    """An unlearning method: mathematics as exactly one of ``loss`` or ``unlearn``, and where it comes from."""

    name: Name = Field(description="How it is called on the command line, in paths and in tables.")
    summary: Sentence = Field(description="One sentence, for listings.")
    paper: Link = Field(description="Where the method is published.")
    code: Link | None = Field(default=None, description="Reference implementation, at a commit.")
    departures: str = Field(default="", description="What differs here from the paper, and why.")
    loss: Loss | None = Field(
        None, description="``loss(ctx, step)``: a scalar, or named scalars that are summed; `fit` minimises it."
    )
    unlearn: Unlearn | None = Field(default=None, description="``unlearn(ctx)``: changes ``ctx.model`` in place.")
    config: type[MethodConfig] = Field(
        default_factory=lambda given: TrainingConfig if given.get("loss") else MethodConfig,
        description="The class of its settings; all have defaults. Absent: `TrainingConfig` with a `loss`, else none.",
    )
    tags: tuple[Name, ...] = Field(
        default=(),
        description="Kinds of method it is one of, such as `baseline`, for `salmu run --tag KIND`.",
    )
    chosen_on: Name | None = Field(
        default=None,
        description="The benchmark its default settings were chosen on; on another that recommends none, and where it "
        "is absent, people are told.",
    )
    known_failures: KnownFailures = Field(
        default_factory=dict, description="Rules of conformance (`salmu check`) it is known to break: rule -> reason."
    )

    _has_defaults = field_validator("config")(check_defaults)

    @model_validator(mode="after")
    def _one_of(self) -> MethodSpec:
        if (self.loss is None) == (self.unlearn is None):
            raise ValueError("give exactly one of 'loss' and 'unlearn'")
        if self.loss is not None and not issubclass(self.config, TrainingConfig):
            raise ValueError("a method given by its 'loss' needs a config derived from TrainingConfig")
        return self


class MetricSpec(Spec):
    """A metric: what it reads, what it may be taken for, what value it should reach, and how it is computed."""

    name: MetricName = Field(description="As the literature writes it; a column carries it.")
    summary: Sentence = Field(description="One sentence, for listings.")
    pillar: Pillar = Field(description="The group it is shown in.")
    target: Role = Field(description="The reference model whose value an unlearned model should have.")
    role: MetricRole = Field(
        default="other", description="What the judge may take its (first) figure for; by default for nothing."
    )
    reads: tuple[Split, ...] = Field(
        min_length=1, description="Splits it may read, first the one whose rows it is about; others raise."
    )
    figures: tuple[MetricName, ...] = Field(
        default=(), description="Names of its figures, if several, first the one its role is about; else its own."
    )
    bounds: tuple[float, float] | None = Field(default=None, description="The least and the most its figures can be.")
    primary: bool = Field(default=False, description="Whether it leads its pillar, and others of its role.")
    compute: Compute = Field(description="``compute(ctx)``: returns a `MetricResult`.")
    paper: Link = Field(description="Where it is published.")
    departures: str = Field(default="", description="What differs here from the paper, and why.")
    known_failures: KnownFailures = Field(
        default_factory=dict, description="Rules of conformance (`salmu check`) it is known to break: rule -> reason."
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """The names its figures carry in every table and file."""
        return columns_of(self.name, self.figures)

    @model_validator(mode="after")
    def _role_fits(self) -> MetricSpec:
        split, needed = self.reads[0], METRIC_ROLES[self.role]
        if needed.splits and split not in needed.splits:
            raise ValueError(f"role {self.role!r} is of {' or '.join(needed.splits)}; `reads` begins with {split!r}")
        if self.role != "other" and self.target != (right := "clean" if split.startswith(FORGET) else "compromised"):
            raise ValueError(f"a metric of role {self.role!r} about {split!r} must have target={right!r}")
        for field, names in (("reads", self.reads), ("figures", self.figures)):
            if len(set(names)) != len(names):
                raise ValueError(f"`{field}` names one twice: {', '.join(names)}")
        if needed.from_zero and (self.bounds is None or self.bounds[0] != 0):
            raise ValueError(f"role {self.role!r} needs `bounds` that begin at 0: what is left of it is a share")
        return self

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and not bounds[0] < bounds[1] < math.inf:
            raise ValueError("`bounds` are the least and the most a figure can be, both finite")
        return bounds


class Band(Spec):
    """Where a figure of a reference model should lie, whatever machine a benchmark is opened on."""

    model: Literal["clean", "compromised"] = Field(description="The reference model.")
    figure: MetricName = Field(description="The column.")
    low: float = Field(default=-math.inf, description="The least it should be.")
    high: float = Field(default=math.inf, description="The most it should be.")
    published: float | None = Field(default=None, description="The figure as it was published, if it was.")
    note: str = Field(default="", max_length=300, description="What to think of first if it lies elsewhere.")

    @classmethod
    def around(
        cls, model: Literal["clean", "compromised"], figure: str, published: float, tolerance: float, note: str = ""
    ) -> Band:
        """A band of ``tolerance`` to both sides of a published figure."""
        low, high = published - tolerance, published + tolerance
        return cls(model=model, figure=figure, low=low, high=high, published=published, note=note)


class HubRepo(Spec):
    """A repository of the Hugging Face hub, at a revision."""

    repo_id: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")] = Field(description="``OWNER/NAME``.")
    kind: Literal["dataset", "model"] = Field(description="What it is to the hub.")
    revision: str = Field(
        default="main",
        pattern=r"^[\w./-]+$",
        description="A commit, its first digits, a branch or a tag; a commit by the time it is fetched.",
    )
    files: tuple[str, ...] = Field(
        min_length=1, description="Patterns of the files to fetch, such as `data/*.parquet`."
    )


class Release(Spec):
    """A benchmark that others have published: where its files lie, and what must be in them."""

    data: HubRepo = Field(description="The parquet shards and JSON files.")
    clean: HubRepo = Field(description="The Clean model, as an open_clip folder.")
    compromised: HubRepo = Field(description="The Compromised model, as an open_clip folder.")
    rows: Mapping[str, int] = Field(default_factory=dict, description="Split -> number of rows.")
    identities: Mapping[str, int] = Field(default_factory=dict, description="Split -> number of people in it.")
    num_train: int = Field(gt=0, description="Pairs Compromised was trained on.")
    metrics: Mapping[MetricName, Mapping[str, JsonValue]] = Field(
        default_factory=dict, description="Metric -> settings by which it is computed as its authors do."
    )
    bring: str = Field(default="", description="What can't be downloaded, and how to bring it, in a sentence.")

    @property
    def repositories(self) -> dict[str, HubRepo]:
        """The three repositories by role: ``data``, ``clean``, ``compromised``."""
        return {"data": self.data, "clean": self.clean, "compromised": self.compromised}

    @model_validator(mode="after")
    def _splits_exist(self) -> Release:
        check_count_names(self.rows, self.identities)
        return self


def check_count_names(rows: Mapping[str, int], identities: Mapping[str, int]) -> None:
    """Expected counts are of splits that can be counted.

    Raises:
        ValueError: One is of something else.
    """
    for given, what in ((rows, "rows"), (identities, "identities")):
        if unknown := sorted(given.keys() - set(COUNTED_SPLITS)):
            raise ValueError(f"{what} of {unknown[0]!r} can't be counted; it is one of {', '.join(COUNTED_SPLITS)}")


class BenchmarkSpec(Spec):
    """A benchmark the core can put on disk: a recipe that writes the released layout, or where to fetch it."""

    name: Name = Field(description="How it is called on the command line, in paths and in tables.")
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.]+$")] = Field(
        description="Changes whenever the recipe's output changes."
    )
    summary: Sentence = Field(description="One sentence, for listings.")
    notice: str = Field(default="", description="A sentence that stands above every table of it.")
    bands: tuple[Band, ...] = Field(
        default=(), description="Where figures of its reference models should lie; `salmu doctor` looks."
    )
    settings: Mapping[Name, Recommended] = Field(
        default_factory=dict,
        description="Method -> settings that fit its models: `salmu run` takes them where nobody sets others.",
    )
    build: Callable[[Path, int, Progress], None] | None = Field(
        default=None, description="``build(folder, world, progress)``: fill an empty folder; same world, same bytes."
    )
    release: Release | None = Field(
        default=None, description="Instead of ``build``: where it is published; `salmu download` fetches it."
    )

    @model_validator(mode="after")
    def _one_of(self) -> BenchmarkSpec:
        if (self.build is None) == (self.release is None):
            raise ValueError("give exactly one of 'build' and 'release'")
        return self
