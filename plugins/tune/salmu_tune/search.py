"""The search: rounds of a trial of each method, each made as `salmu run` makes a run, until there are enough."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salmu_core.benchmark.folder import open_benchmark, recommended
from salmu_core.contract.settings import Settings, fitting, make_config
from salmu_core.contract.specs import MethodSpec
from salmu_core.disk.files import demolish
from salmu_core.errors import StoreError, UsageError
from salmu_core.judge.protocol import MIN_LEAKAGE_REDUCTION
from salmu_core.plugins.code import code_hash
from salmu_core.plugins.zoo import Declared, Zoo
from salmu_core.run.accelerator import accelerate, set_threads
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import Store, read_run
from salmu_core.study.asked import Study
from salmu_core.study.prepare import Options, check
from salmu_core.study.work import carry_out
from salmu_tune.journal import Claim, Journal, Trials
from salmu_tune.probing import Prober
from salmu_tune.reporting import Rounds
from salmu_tune.space import Space

#: Where searches lie in a results folder.
FOLDER = "_tune"
#: Seconds between two looks at what other processes make.
PAUSE = 1.0


@dataclass(frozen=True)
class Asked:
    """What is asked for; equal for every method.

    Attributes:
        benchmark: An installed one, a world of it, or a folder.
        worlds: Worlds that every trial is made in; None for the one that `benchmark` names.
        fixed: Settings that are not searched, by method.
    """

    methods: Sequence[str]
    benchmark: str
    worlds: tuple[int, ...] | None = None
    budget: float = 5.0
    seed: int = 0
    trials: int = 20
    fixed: Mapping[str, Settings] = field(default_factory=dict)

    def study(self, settings: Mapping[str, Settings]) -> Study:
        """A run of each method in each world."""
        config: dict[str, Any] = dict(settings)
        of = {"benchmark": self.benchmark, "worlds": self.worlds, "methods": tuple(settings), "config": config}
        return Study.model_validate({**of, "budgets": (self.budget,), "seeds": (self.seed,)})


@dataclass(frozen=True)
class Searched:
    """A method, and its trials.

    Attributes:
        facts: What the trials have in common.
    """

    declared: Declared[MethodSpec]
    space: Space
    facts: Mapping[str, Any]
    trials: Trials

    @property
    def name(self) -> str:
        """The method's."""
        return self.declared.card.name


class Tuning:
    """A search, opened.

    Args:
        asked: What is asked for.
        zoo: What is installed.
        output: The results folder.
        options: How runs are made; they are never scored.
        reporter: Is told of the runs.

    Raises:
        UnknownNameError: There is no such method, setting or benchmark.
        UsageError: A method has nothing to search, or a value is not allowed.
        StoreError: The journal can't be read, locked or written.
    """

    def __init__(self, asked: Asked, zoo: Zoo, output: Path, options: Options, reporter: Reporter) -> None:
        self.asked, self._zoo, self._options, self._reporter = asked, zoo, options, Rounds(reporter)
        names = self.asked.study({name: {} for name in asked.methods}).benchmarks
        spaces = {name: self._space(name, names[0]) for name in dict.fromkeys(asked.methods)}
        check(self.asked.study({name: dict(space.fixed) for name, space in spaces.items()}), {}, zoo)
        self._benchmarks = [open_benchmark(name, zoo, reporter.building) for name in names]
        labels = "+".join(it.name for it in self._benchmarks)
        self.folder = output / FOLDER / f"{labels}-b{asked.budget:.15g}-s{asked.seed}"
        self._store, journal = Store(self.folder / "runs"), Journal(self.folder)
        data = {it.name: [it.data_hash, it.model_hash("compromised")] for it in self._benchmarks}
        self.methods = []
        for name, space in spaces.items():
            declared = zoo.methods[name]
            common = {"method": name, "code": code_hash(declared.module), "data": data, "budget": asked.budget}
            searched = {field: [str(search), space.default[field]] for field, search in space.fields.items()}
            common["gone"] = MIN_LEAKAGE_REDUCTION  # what a trial is worth depends on it
            facts = {**common, "seed": asked.seed, "fixed": space.fixed, "fields": searched}
            self.methods.append(Searched(declared, space, facts, journal.trials(name, facts, space)))
        self._probers: dict[str, Prober] = {}

    def _space(self, name: str, benchmark: str) -> Space:
        spec = self._zoo.methods[name].spec
        advice = recommended(benchmark, self._zoo).get(name)
        usual = fitting(spec, advice, benchmark) if advice else {}
        return Space.of(spec, usual, dict(self.asked.fixed.get(name, {})))

    @property
    def worlds(self) -> list[str]:
        """What trials are made on."""
        return [it.name for it in self._benchmarks]

    @property
    def missing(self) -> int:
        """Trials that are still to be made."""
        return sum(max(0, self.asked.trials - len(it.trials.finished)) for it in self.methods)

    def run(self) -> None:
        """Make what is missing, beside whoever else does; comes back when all trials are finished.

        Raises:
            KeyboardInterrupt: Somebody stopped it; finished trials are kept.
        """
        if not self.missing:
            return
        self._reporter.begin_rounds(self.missing * len(self._benchmarks))
        while self.missing:
            with ExitStack() as stack:
                claims = {it.name: stack.enter_context(it.trials.claim(self.asked.trials)) for it in self.methods}
                mine = {name: claim for name, claim in claims.items() if claim}
                self._make(mine)
            if not mine and self.missing:
                self._reporter.say("The last trials are being made by other processes; this one waits for them.")
                time.sleep(PAUSE)

    def _make(self, claims: Mapping[str, Claim]) -> None:
        """Make a round of trials: one run for each method and world, and their probes."""
        unmade = {name: claim for name, claim in claims.items() if not self._settled(name, claim)}
        if not unmade:
            return
        study = self.asked.study({name: claim.settings for name, claim in unmade.items()})
        works = carry_out(study, {}, self._zoo, self._store, self._options, self._reporter)
        made: dict[str, dict[str, Mapping[str, Any]]] = {name: {} for name in unmade}
        folders = {planned.key: self._store.folder(planned.key) for work in works for planned in work.plan}
        for key, folder in folders.items():
            record = read_run(folder)
            if record is None:
                raise StoreError(f"{folder} was not made: another process holds it. Try again when that has ended.")
            made[key.method][key.benchmark] = self._prober(key.benchmark).facts(folder, record)
        for name, claim in unmade.items():
            value = claim.tell(made[name])
            self._reporter.say(f"{name} trial {claim.number}: {value:.3f}")
        for folder in folders.values():  # what is known of it stands in the journal, and a model is large
            with suppress(OSError):
                demolish(folder.parent)

    def _settled(self, name: str, claim: Claim) -> bool:
        """Whether a trial needs no run: its settings were tried before, or the method refuses them."""
        if claim.known is not None:
            claim.repeat(claim.known)
            return True
        try:
            make_config(self._zoo.methods[name].spec, claim.settings)
        except UsageError as error:
            claim.tell({}, str(error))
            return True
        return False

    def _prober(self, benchmark: str) -> Prober:
        if benchmark not in self._probers:
            accelerator = accelerate(self._options.mixed_precision, 1)  # one thread: runs are forked from here
            opened = next(it for it in self._benchmarks if it.name == benchmark)
            self._probers[benchmark] = Prober(opened, accelerator)
        set_threads(1)
        return self._probers[benchmark]
