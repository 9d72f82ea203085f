"""Which runs a study consists of: methods x configurations x budgets x seeds. Nothing here needs torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError

from salmu_core.contract.config import MethodConfig
from salmu_core.contract.recommended import Recommended
from salmu_core.contract.settings import Settings, fitting, make_config
from salmu_core.contract.specs import MethodSpec
from salmu_core.disk.hashing import hash_json
from salmu_core.disk.reading import read_toml
from salmu_core.errors import FileError, UnknownNameError, UsageError, explain
from salmu_core.machine import without_secrets
from salmu_core.plugins.code import code_hash
from salmu_core.plugins.zoo import Declared, Zoo
from salmu_core.run.accelerator import precision_of
from salmu_core.show.escape import shell
from salmu_core.store.folders import RunKey
from salmu_core.store.starts import WHOLE, RequestRef
from salmu_core.study.limits import Limits
from salmu_core.study.origin import Origin
from salmu_core.study.starts import Start
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
        default=None, min_length=1, description="Methods; absent: all that are installed."
    )
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
        if changed.get("methods"):
            asked._spare = frozenset(self.config) & frozenset(self.methods or self.config)
        return asked

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


@dataclass(frozen=True)
class Planned:
    """One run to be made.

    Attributes:
        source: The benchmark as it was asked for: a name or a folder.
        origin: Where its settings come from.
        retain: Tar files of the user's own retain pairs.
        start: What it, or the first request of its sequence, begins with; None for Compromised.
        request: What it is asked to forget.
        before: Of a later request, the run that it goes on from.
    """

    key: RunKey
    method: Declared[MethodSpec]
    config: MethodConfig
    source: str
    origin: Origin
    retain: tuple[str, ...] = ()
    retain_share: float = 0.0
    start: Start | None = None
    request: RequestRef = WHOLE
    before: RunKey | None = None

    @property
    def command(self) -> str:
        """The command that makes it, as its record may keep it."""
        words = ["salmu", "run", self.key.method, "--benchmark", self.source]
        words += ["--budget", f"{self.key.budget:.15g}", "--seed", str(self.key.seed)]
        for pattern in self.retain:
            words += ["--retain", pattern]
        words += ["--retain-share", f"{self.retain_share:.15g}"] if self.retain else []
        words += ["--mixed-precision", self.key.precision] if self.key.precision else []
        words += ["--from", str(self.start.folder)] if self.start else []
        words += ["--requests", str(self.request.count)] if self.request.count > 1 else []
        default = self.method.spec.config().model_dump(mode="json")
        advice = self.origin.recommended
        for name, value in self.config.model_dump(mode="json").items():
            if value != default[name] or (advice and name in advice.config):
                text = value if isinstance(value, str) else json.dumps(value)
                words += ["--set", f"{self.key.method}.{name}={text}"]
        return without_secrets(shell(words))


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


def make_plan(
    study: Study,
    benchmark: str,
    zoo: Zoo,
    overrides: Mapping[str, Settings],
    retain: str = "",
    start: Start | None = None,
    requests: Sequence[RequestRef] = (WHOLE,),
    recommended: Mapping[str, Recommended] | None = None,
) -> list[Planned]:
    """Every run of a study, methods first, each configuration validated.

    A method's defaults come first; what the benchmark recommends goes over them, what was tuned over that, and the
    study over all.

    Args:
        benchmark: The benchmark's name in paths.
        overrides: Settings that go over the study's, by method.
        retain: Digest of the user's own retain pairs.
        start: What to begin with; None for Compromised.
        requests: What to forget, one after another.
        recommended: What the benchmark recommends, by method; of others than are run it may be anything.

    Raises:
        UnknownNameError: A method or a field does not exist.
        UsageError: A value is not allowed, or settings are given for a method that isn't run.
    """
    names = list(dict.fromkeys(zoo.methods if study.methods is None else study.methods))
    for name in names:
        zoo.methods[name]
    if study.tuned and not study.tuned.keys() & set(names):
        raise UsageError(f"What was tuned is of {', '.join(study.tuned)}: of what this run includes there is nothing.")
    for name in sorted({*overrides, *study.config} - {*zoo.methods, *study.attacks}):
        if name not in zoo.attacks:
            raise UnknownNameError("method or attack", name, [*zoo.methods, *zoo.attacks])
        if name in overrides:  # a study file may have those of attacks that an option leaves out
            raise UsageError(f"Settings are given for {name}, which is an attack: add --attack {name}.")
    given_to = {*overrides, *(study.config.keys() & set(zoo.methods) - study._spare)}
    if unused := sorted(given_to - {*names, *study.attacks}):
        raise UsageError(f"Settings are given for {', '.join(unused)}, which this run does not include.")
    plan: dict[RunKey, Planned] = {}
    begun = start.ref.checkpoint_hash[:8] if start else ""
    for name in names:
        declared = zoo.methods[name]
        advice, base = (recommended or {}).get(name), benchmark.partition("@")[0]
        tuned = study.tuned.get(name)
        advice = tuned.over(advice) if tuned else advice
        usual = fitting(declared.spec, advice, "`salmu tune`" if tuned else base) if advice else {}
        outdated = tuned is not None and tuned.code_hash != code_hash(declared.module)
        given = study.config.get(name, {})
        for settings in given if isinstance(given, list) else [given]:
            own = {**settings, **overrides.get(name, {})}
            config = make_config(declared.spec, {**usual, **own})
            digest = config_hash(config)
            named = "budgets" in study.model_fields_set
            origin = Origin(base, declared.spec, advice, frozenset(own), named, outdated)
            for budget in study.budgets_for(advice):
                for seed in study.seeds:
                    own_key = RunKey(benchmark, name, digest, budget, seed, retain, begun)
                    key = replace(own_key, precision=study.precision)
                    source = study.benchmark if study.worlds is None else benchmark
                    one = Planned(key, declared, config, source, origin, study.retain, study.retain_share, start)
                    plan |= {planned.key: planned for planned in _sequence(one, requests)}
    return list(plan.values())


def _sequence(one: Planned, requests: Sequence[RequestRef]) -> Iterator[Planned]:
    """A run for each request."""
    before = None
    for request in requests:
        key = replace(one.key, request=request.digest)
        yield replace(one, key=key, request=request, before=before)
        before = key


def config_hash(config: MethodConfig) -> str:
    """SHA-256 of a resolved configuration."""
    return hash_json(config.model_dump(mode="json"))
