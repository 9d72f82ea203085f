"""Finds out whether the rules hold of a method, by running it on a benchmark of a few rows."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.clip.weights import fingerprint
from salmu_core.contract.config import MethodConfig, TrainingConfig
from salmu_core.contract.specs import MethodSpec
from salmu_core.contract.wrapping import WrapperConfig
from salmu_core.plugins.zoo import discover
from salmu_core.run.outcome import Outcome
from salmu_core.run.runner import run_one
from salmu_core.run.saves import Saves
from salmu_core.run.session import TrainingSession
from salmu_core.testing.conformance.loop_watch import Flow, LoopWatch
from salmu_core.testing.conformance.witness import Witness
from salmu_core.testing.settings import settings_of
from salmu_core.testing.tiny import write_tiny_benchmark
from salmu_core.train.observer import Observer
from salmu_core.train.settings import Every

if TYPE_CHECKING:
    from salmu_core.testing.conformance.journal import Journal
    from salmu_core.testing.conformance.request import Request

#: Not a whole number, so that a budget that is overdrawn shows.
BUDGET = 1.9
BATCH = 4
#: More than the forget set of the small benchmark has, and not twice as many: then a batch shrinks.
SHRINKING_BATCH = 12
#: Benchmark -> how many people, and what decides its hidden part: one, the same with other holdouts, one of a few rows.
BENCHMARKS = {"tiny": (8, 0), "hidden": (8, 7), "small": (4, 0)}
#: Rules for which runs are repeated.
_REPEATED = {"random", "same-bytes", "elsewhere", "blind", "resumes"}


def examine(spec: MethodSpec, asked: Request, journal: Journal, witness: Witness) -> None:
    """Run a method often enough to know; the second process makes the same runs the other way round."""
    torch.set_num_threads(1)
    runs = _Runs(spec, asked.settings, asked.scratch, journal)
    if asked.twice:
        for seed in (1, 0):
            found = runs.make(f"a run with seed {seed} in another process", "tiny", seed=seed)
            journal.fact(f"seed {seed}", fingerprint(found.model) if found.status == "valid" else found.status)
        return
    report_config(spec.config, journal)
    first = runs.make("a run with seed 0", "tiny", seed=0, witness=witness)
    _report(first, witness, asked.scratch, journal)
    if first.status not in ("valid", "unchanged"):
        return
    if asked.rules & _REPEATED:
        _repeat(first, runs, journal, witness)
    if "one-batch" in asked.rules:
        small = runs.make("a run on a forget set smaller than a batch", "small", seed=0, batch=SHRINKING_BATCH)
        journal.rule("one-batch", None if small.status in ("valid", first.status) else _what(small))
    if "bf16" in asked.rules:
        AcceleratorState._reset_state(reset_partial_state=True)
        runs.accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        mixed = runs.make("a run under bfloat16", "tiny", seed=0)
        # NaN may be bfloat16's own doing; an exception is the method's.
        journal.rule("bf16", _what(mixed) if mixed.status in ("crashed", "altered") else None)


def _repeat(first: Outcome, runs: _Runs, journal: Journal, witness: Witness) -> None:
    """Make the first run again, with another between them, and beside other holdouts."""
    bytes_0 = fingerprint(first.model)
    other = runs.make("a run with seed 1", "tiny", seed=1)
    witness.forget_draws()
    again = runs.make("a second run with seed 0", "tiny", seed=0, witness=witness)
    witness.tell_draws(journal)
    for seed, outcome in ((0, first), (1, other)):
        journal.fact(f"seed {seed}", fingerprint(outcome.model) if outcome.status == "valid" else outcome.status)
    same = fingerprint(again.model) == bytes_0 and again.status == other.status == first.status
    journal.rule("same-bytes", None if same else _difference(other, again))
    hidden = fingerprint(runs.make("a run beside other holdouts", "hidden", seed=0).model) == bytes_0
    problem = f"it read {witness.read[0]}" if witness.read else None
    if same and not hidden:
        problem = "with other holdouts, zero-shot images and Clean model it left other weights"
    journal.rule("blind", problem)
    if same and first.status == "valid":
        _interrupt(first, runs, journal)


def _interrupt(first: Outcome, runs: _Runs, journal: Journal) -> None:
    """End the first run after half of its steps, and go on with it."""
    steps = first.ledger.steps // 2
    again, told = runs.interrupted(steps)
    same = fingerprint(again.model) == fingerprint(first.model) and again.status == first.status
    problem = told[0] if told else None
    if not same:
        problem = f"interrupted after {steps} of {first.ledger.steps} steps, it left other weights"
    journal.rule("resumes", problem, advice=same)


class _Runs:
    """Makes runs on the `BENCHMARKS`."""

    def __init__(self, spec: MethodSpec, settings: Mapping[str, Any], scratch: Path, journal: Journal) -> None:
        self._spec = spec
        self._settings = settings
        self._scratch = scratch
        self._journal = journal
        self._sessions: dict[str, TrainingSession] = {}
        self.accelerator = Accelerator(cpu=True)

    def make(
        self, stage: str, benchmark: str, *, seed: int, witness: Witness | None = None, batch: int = BATCH
    ) -> Outcome:
        session = self._session(benchmark)
        self._journal.at(stage)
        config = self._config(batch)
        spec = self._spec if witness is None else _watched(self._spec, witness)
        if witness is None:
            return run_one(spec, config, BUDGET, seed, session, self.accelerator)
        witness.loop, before = LoopWatch(), witness.backwards
        with witness.loop.optimizers_built() as built:
            outcome = run_one(spec, config, BUDGET, seed, session, self.accelerator, witness.loop.observer)
        backwards = witness.backwards - before
        by_hand = f"it calls backward() {backwards} times itself" if backwards > 1 else None
        own = [kind for kind, optimizer in built if not witness.loop.made(optimizer)]
        self._journal.rule("loop", f"it built its own torch.optim.{own[0]}" if own else by_hand)
        self._report_terms(witness.loop.flows)
        return outcome

    def interrupted(self, steps: int) -> tuple[Outcome, list[str]]:
        """A run that is ended after so many steps, and gone on with; and what people would be told of it."""
        told: list[str] = []
        left = [None] * steps
        spec = self._spec.model_copy(update={"known_failures": {}})  # that it doesn't resume, among others
        saves = Saves(self._scratch / "saves", Every(steps=1), say=told.append)
        run = partial(run_one, spec, self._config(BATCH), BUDGET, 0, self._session("tiny"), self.accelerator)

        def end(*_: object) -> None:
            left.pop()
            if not left:
                raise KeyboardInterrupt

        if steps:
            self._journal.at("a run that is interrupted")
            with suppress(KeyboardInterrupt):
                run(Observer(on_step=end), saves=saves)
        self._journal.at("a run that goes on where it was interrupted")
        return run(saves=saves), told

    def _config(self, batch: int) -> MethodConfig:
        trains = issubclass(self._spec.config, TrainingConfig | WrapperConfig)
        return settings_of(self._spec, **{**({"batch_size": batch} if trains else {}), **self._settings})

    def _report_terms(self, flows: Mapping[str, Flow]) -> None:
        dead = [name for name, flow in flows.items() if flow is Flow.NONE]
        weak = [name for name, flow in flows.items() if flow is Flow.UNSEEN]
        problem = f"none ever flows from the term {dead[0]!r}" if dead else None
        if weak and not dead:
            problem = f"none but into the temperature was seen to flow from the term {weak[0]!r}"
        self._journal.rule("terms", problem, advice=not dead)

    def _session(self, name: str) -> TrainingSession:
        if name not in self._sessions:
            self._journal.at(f"opening the benchmark {name}")
            folder = self._scratch / name
            people, hidden = BENCHMARKS[name]
            write_tiny_benchmark(folder, people=people, hidden=hidden)
            opened = open_benchmark(str(folder), discover(()), lambda stage, fraction: None)
            self._sessions[name] = TrainingSession.open(opened, self.accelerator)
        return self._sessions[name]


def _watched(spec: MethodSpec, witness: Witness) -> MethodSpec:
    """The same method, watched while its own code runs."""
    field = "loss" if spec.loss is not None else "unlearn"
    return spec.model_copy(update={field: witness.watched(getattr(spec, field))})


def report_config(kind: type[MethodConfig], journal: Journal) -> None:
    """Report on a class of settings."""
    config, problem = kind(), None
    bare = [name for name, field in kind.model_fields.items() if not field.description]
    if kind.model_config.get("extra") != "forbid" or not kind.model_config.get("frozen"):
        problem = f"{kind.__name__} accepts unknown settings or can be changed"
    elif bare:
        problem = f"{kind.__name__} has no description for {', '.join(bare)}"
    else:
        try:
            if kind.model_validate_json(config.model_dump_json()) != config:
                problem = f"{kind.__name__} is another one after being written as JSON and read again"
            kind.model_json_schema()
        except ValueError as error:
            problem = f"{kind.__name__} can't be written as JSON and read again: {error}"
    journal.rule("config", problem)


#: Which rule a run of each status breaks.
_BROKEN = {"unchanged": "changes", "non-finite": "finite", "altered": "shape", "over-budget": "budget"}


def _report(outcome: Outcome, witness: Witness, scratch: Path, journal: Journal) -> None:
    """What the first run and its witness say."""
    witness.tell(journal, scratch)
    broken = _BROKEN.get(outcome.status, "runs")
    if broken == "shape" and ("runs begin with" in outcome.reason or "ctx.reference" in outcome.reason):
        broken = "original"
    if outcome.status == "crashed":
        journal.rule("runs", _what(outcome))
        return
    journal.rule("runs")
    for rule in (*_BROKEN.values(), "original"):
        if outcome.status == "valid" or rule == broken:
            journal.rule(rule, None if outcome.status == "valid" else outcome.reason)
    if outcome.status == "valid":
        journal.rule("tidy", _untidy(outcome.model))


def _untidy(model: nn.Module) -> str | None:
    for name, p in model.named_parameters():
        if not p.requires_grad:
            return f"{name} no longer takes gradients"
        if p.grad is not None:
            return f"{name}.grad is left behind"
        if p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None):
            return f"a hook is left on {name}"
    for name, module in model.named_modules():
        hooks = [key for key, value in vars(module).items() if key.endswith("_hooks") and value]
        if hooks:
            return f"a hook is left on {name or 'the model'}"
        own = [key for key, value in vars(module).items() if callable(value) and key.startswith(("forward", "encode"))]
        if own:
            return f"{own[0]} of {name or 'the model'} is replaced"
    return None


def _what(outcome: Outcome) -> str:
    return f"the run is {outcome.status}: {outcome.reason}{last_line(outcome.traceback)}"


def last_line(traceback: str | None) -> str:
    """Where an exception was raised, in brackets."""
    frames = [line.strip() for line in (traceback or "").splitlines() if line.strip().startswith("File ")]
    return f" ({frames[-1]})" if frames else ""


def _difference(other: Outcome, again: Outcome) -> str:
    for seed, outcome in ((1, other), (0, again)):
        if outcome.status != "valid":
            return f"with seed {seed}, {_what(outcome)}"
    return "two runs with seed 0, another between them, left other weights"
