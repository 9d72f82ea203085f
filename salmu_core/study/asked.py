"""What is asked for: a study, as a file or options say it. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError

from salmu_core.contract.recommended import Recommended
from salmu_core.contract.settings import Settings
from salmu_core.disk.reading import read_toml
from salmu_core.errors import FileError, UsageError, explain
from salmu_core.run.accelerator import precision_of
from salmu_core.study.limits import Limits
from salmu_core.study.resources import Resources
from salmu_core.study.tuned import Tuned, read_tuned
from salmu_core.train.settings import Every

#: What a file may say; by far more than anybody waits for, or can tell apart.
Budget = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=1_000_000_000, strict=True)]
World = Annotated[int, Field(ge=0, lt=1_000_000_000, strict=True)]
Share = Annotated[float, Field(gt=0, le=1, strict=True)]


def _listed(value: object) -> object:
    """A single value is a list of one."""
    return (value,) if isinstance(value, str | int | float) else value


def _read(value: object) -> object:
    """A path is what lies there."""
    return read_tuned(Path(value)) if isinstance(value, str | Path) else value


_T = TypeVar("_T")
Several = Annotated[tuple[_T, ...], BeforeValidator(_listed)]


class Study(BaseModel):
    """What is to be run; the content of a ``study.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmark: str = Field(default="mini", description="Name of an installed benchmark, or a folder.")
    worlds: Several[World] | None = Field(
        default=None,
        min_length=1,
        description="Worlds of an installed benchmark: people, data and models anew in each. Absent: the one that "
        "`benchmark` names.",
    )
    methods: Several[str] | None = Field(
        default=None, min_length=1, description="Methods; absent: all that are installed, or have one of `tags`."
    )
    tags: Several[str] = Field(default=(), description="Kinds of methods, all installed ones of each, as `--tag`.")
    budgets: Several[Budget] = Field(
        default=(5.0,), min_length=1, description="Budgets; absent: what the benchmark recommends, or 5."
    )
    seeds: Several[Seed] = Field(default=(0,), min_length=1, description="Seeds.")
    retain: Several[str] = Field(
        default=(), description="Tar files of your own retain pairs, as in `shards/{00000..00099}.tar`."
    )
    retain_share: Share = Field(default=0.5, description="Share of every retain batch that comes from them.")
    start: str | None = Field(
        default=None, min_length=1, description="Folder of the run to begin with, as `--from`; absent: Compromised."
    )
    requests: int = Field(
        default=1,
        ge=1,
        strict=True,
        description="Parts by person in which the forget set comes, each deleted from the result of the last.",
    )
    mixed_precision: Literal["no", "bf16", "fp16"] | None = Field(
        default=None, description="Precision of all runs, as `--mixed-precision`; absent: as accelerate is configured."
    )
    attacks: Several[str] = Field(
        default=(), description="Attacks that are made on every result, and on Compromised and Clean."
    )
    checkpoint_every: Annotated[str, BeforeValidator(str)] = Field(
        default="5m", description="How often a run is kept while it trains, as `--checkpoint-every`."
    )
    run_timeout: str | None = Field(default=None, description="Time that one run may take, as `--run-timeout`.")
    run_memory: str | None = Field(default=None, description="Memory that one run may hold, as `--run-memory`.")
    resources: Resources = Field(default=Resources(), description="What one run is given, with `--on`.")
    engine: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Settings of each engine that `--on` may name."
    )
    tuned: Annotated[dict[str, Tuned], BeforeValidator(_read)] = Field(
        default_factory=dict, description="Result of `salmu tune` that settings are taken from, as `--tuned`."
    )
    config: dict[str, Settings | list[Settings]] = Field(
        default_factory=dict, description="Settings of each method or attack; a list of tables is one run each."
    )

    _spare: frozenset[str] = PrivateAttr(frozenset())
    """Methods whose settings a file has, though options leave them out."""

    def over(self, changed: Mapping[str, Any]) -> Study:
        """This study with options over it.

        Raises:
            ValidationError: A value is not allowed.
        """
        asked = Study.model_validate({**self.model_dump(exclude_unset=True), **changed})
        if changed.get("methods") or changed.get("tags"):
            asked._spare = frozenset(self.config) & frozenset(self.config if self.tags else self.methods or self.config)
        return asked

    @property
    def named(self) -> bool:
        """Whether it names its methods, and not what is installed decides."""
        return self.methods is not None and not self.tags

    @property
    def benchmarks(self) -> list[str]:
        """What is to be opened: the benchmark, or each of its worlds.

        Raises:
            UsageError: Worlds are asked for of a folder, or of one world.
        """
        if self.worlds is None:
            return [self.benchmark]
        if "/" in self.benchmark or "@" in self.benchmark:
            raise UsageError(f"Worlds are of an installed benchmark, as in --benchmark mini; {self.benchmark} is one.")
        return [f"{self.benchmark}@{world}" if world else self.benchmark for world in dict.fromkeys(self.worlds)]

    @property
    def precision(self) -> str:
        """What tells its runs from those in float32: ``bf16``, ``fp16``, or nothing."""
        return precision_of(self.mixed_precision)

    @property
    def every(self) -> Every:
        """How often a run is kept while it trains.

        Raises:
            UsageError: It is neither a time nor a number of steps.
        """
        return Every.parse(self.checkpoint_every)

    @property
    def limits(self) -> Limits:
        """What one run may take.

        Raises:
            UsageError: One is no time, or no size.
        """
        return Limits.parse(self.run_timeout, self.run_memory)

    def budgets_for(self, recommended: Recommended | None) -> tuple[Budget, ...]:
        """Its budgets for a method: a recommended one where nobody names any."""
        if "budgets" in self.model_fields_set or recommended is None or recommended.budget is None:
            return self.budgets
        return (recommended.budget,)


def read_study(path: Path) -> Study:
    """Read a ``study.toml``.

    Raises:
        UsageError: It can't be read, or says something that makes no sense.
    """
    try:
        return Study.model_validate(read_toml(path))
    except FileError as error:
        raise UsageError(str(error)) from error
    except ValidationError as error:
        raise UsageError(f"{path}: {explain(error, Study.model_fields)}") from error
