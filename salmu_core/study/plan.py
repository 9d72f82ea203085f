"""Which runs a study consists of: methods x configurations x budgets x seeds. Nothing here needs torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from salmu_core.contract.config import MethodConfig, by_field
from salmu_core.contract.recommended import Recommended
from salmu_core.contract.settings import Settings, fitting, make_config, over
from salmu_core.contract.specs import MethodSpec
from salmu_core.contract.wrapping import WrapperConfig
from salmu_core.disk.hashing import hash_json
from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.machine import without_secrets
from salmu_core.plugins.code import code_hash
from salmu_core.plugins.zoo import Declared, Zoo
from salmu_core.show.escape import shell
from salmu_core.store.folders import RunKey
from salmu_core.store.starts import WHOLE, RequestRef
from salmu_core.study.asked import Study
from salmu_core.study.origin import Origin
from salmu_core.study.starts import Start


@dataclass(frozen=True)
class Planned:
    """One run to be made.

    Attributes:
        source: The benchmark as it was asked for: a name or a folder.
        origin: Where its settings come from.
        wrapped: Of a wrapper, the method whose loss it stands on.
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
    wrapped: Declared[MethodSpec] | None = None

    @property
    def code(self) -> str:
        """SHA-256 of the code that makes it."""
        return code_hash(*(part.module for part in (self.method, self.wrapped) if part))

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
        inner = {"settings": self.wrapped.spec.config().model_dump(mode="json")} if self.wrapped else {}
        default = by_field(self.method.spec.config().model_dump(mode="json") | inner)
        advice = self.origin.recommended
        for name, value in by_field(self.config).items():
            if value != default.get(name) or (advice and name in advice.config):
                text = value if isinstance(value, str) else json.dumps(value)
                words += ["--set", f"{self.key.method}.{name}={text}"]
        return without_secrets(shell(words))


def chosen_methods(study: Study, zoo: Zoo) -> list[str]:
    """The methods that a study asks for, by name or by tag, each once.

    Raises:
        UnknownNameError: There is no such method, or none with a tag.
    """
    if not study.tags:
        names = list(dict.fromkeys(zoo.methods if study.methods is None else study.methods))
        for name in names:
            zoo.methods[name]
        return names
    tagged = {name: set(method.tags) for name, method in zoo.methods.items()}
    known = sorted(set().union(*tagged.values()))
    for tag in study.tags:
        if tag not in known:
            raise UnknownNameError("tag", tag, known)
    for name in study.methods or ():
        zoo.methods[name]
    return list(dict.fromkeys([*(study.methods or ()), *(n for n, own in tagged.items() if own & set(study.tags))]))


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
    names = chosen_methods(study, zoo)
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
            own = over(overrides.get(name, {}), settings)
            config, wrapped, advised = make_config(declared.spec, over(own, usual)), None, advice
            if isinstance(config, WrapperConfig):
                wrapped = zoo.methods[config.loss]
                theirs = (recommended or {}).get(config.loss)
                config = config.around(wrapped.spec, fitting(wrapped.spec, theirs, base) if theirs else {})
                advised = advice or (theirs and theirs.within("settings"))
            digest = config_hash(config)
            named = "budgets" in study.model_fields_set
            origin = Origin(base, declared.spec, advised, frozenset(by_field(own)), named, outdated)
            for budget in study.budgets_for(advised):
                for seed in study.seeds:
                    own_key = RunKey(benchmark, name, digest, budget, seed, retain, begun)
                    key = replace(own_key, precision=study.precision)
                    source = study.benchmark if study.worlds is None else benchmark
                    one = Planned(key, declared, config, source, origin, study.retain, study.retain_share, start)
                    one = replace(one, wrapped=wrapped)
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
