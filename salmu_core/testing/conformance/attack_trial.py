"""Finds out whether the rules hold of an attack, by carrying it out on the models of benchmarks of a few rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from inspect import isgenerator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from salmu_core.attack import model
from salmu_core.attack.model import not_given
from salmu_core.attack.outcome import AttackOutcome
from salmu_core.attack.run import run_attack
from salmu_core.attack.session import AttackSession
from salmu_core.attack.stages import END
from salmu_core.clip.model import Clip
from salmu_core.clip.save import save_checkpoint
from salmu_core.clip.weights import fingerprint
from salmu_core.contract.attack import AttackSpec, Query, Reading
from salmu_core.contract.config import MethodConfig, TrainingConfig
from salmu_core.contract.features import Features
from salmu_core.disk.hashing import hash_json
from salmu_core.errors import AttackError
from salmu_core.losses import contrastive
from salmu_core.testing.conformance.method_trial import last_line, report_config
from salmu_core.testing.conformance.witness import Witness, replaced
from salmu_core.testing.leak import RANK, attack_session
from salmu_core.testing.tiny import write_tiny_benchmark

if TYPE_CHECKING:
    from salmu_core.testing.conformance.journal import Journal
    from salmu_core.testing.conformance.request import Request

#: Benchmark -> how many people, and what decides its hidden part; one has a Compromised that knows its forget rows.
BENCHMARKS = {"tiny": (8, 0), "small": (4, 0), "taught": (8, 0)}
BATCH = 4
#: Steps after which it does.
_LESSONS = 60
#: How much more an attack should find where everything is than where nothing is.
GAP = 0.1


def examine(spec: AttackSpec, asked: Request, journal: Journal, witness: Witness) -> None:
    """Attack often enough to know; the second process attacks the models the other way round."""
    torch.set_num_threads(1)
    attacks = _Attacks(spec, asked.settings, asked.scratch, journal)
    if asked.twice:
        for model in ("clean", "compromised"):
            journal.fact(model, _bits(attacks.make(f"attacking {model} in another process", "tiny", model)))
        return
    report_config(spec.config, journal)
    first = attacks.make("attacking Compromised", "tiny", "compromised", witness)
    witness.tell(journal, asked.scratch)
    _report(spec, first, attacks.asked, journal)
    if first.status != "valid":
        return
    if asked.rules & {"random", "same-bits", "elsewhere"}:
        clean = attacks.make("attacking Clean", "tiny", "clean")
        witness.forget_draws()
        again = attacks.make("attacking Compromised again", "tiny", "compromised", witness)
        witness.tell_draws(journal)
        journal.fact("compromised", _bits(first))
        journal.fact("clean", _bits(clean))
        same = _bits(again) == _bits(first)
        journal.rule("same-bits", None if same else "two attacks on one checkpoint, another between them, differ")
    if "small" in asked.rules:
        ours = spec.config(**asked.settings)  # with its own batches, which are larger than what there is
        small = attacks.make("attacking on a dozen rows", "small", "compromised", config=ours)
        journal.rule("small", _what(small) if small.status != "not-measured" else None)
    if "succeeds" in asked.rules:
        stage = "attacking a model that knows the forget rows"
        known, unseen = (
            attacks.make(stage, "taught", model, config=spec.config(**asked.settings)).values.get(RANK.name, 0.0)
            for model in ("compromised", "clean")
        )
        told = (
            f"the mean reciprocal rank of what was forgotten is {known:.3f} in the one, and {unseen:.3f} in the other"
        )
        journal.rule("succeeds", None if known - unseen > GAP else told, advice=True)
    if "bf16" in asked.rules:
        mixed = None
        if spec.model is not None:
            AcceleratorState._reset_state(reset_partial_state=True)
            attacks = _Attacks(
                spec, asked.settings, asked.scratch, journal, Accelerator(cpu=True, mixed_precision="bf16")
            )
            mixed = attacks.make("attacking under bfloat16", "tiny", "compromised")
        # NaN may be bfloat16's own doing; an exception is the attack's.
        journal.rule("bf16", _what(mixed) if mixed and mixed.status != "non-finite" else None)


@dataclass
class _Attacks:
    """Carries out an attack on models of the `BENCHMARKS`."""

    spec: AttackSpec
    settings: Mapping[str, Any]
    scratch: Path
    journal: Journal
    accelerator: Accelerator = field(default_factory=lambda: Accelerator(cpu=True))
    asked: _Asked = field(default_factory=lambda: _Asked())
    sessions: dict[str, AttackSession] = field(default_factory=dict)
    targets: dict[tuple[str, str], Clip] = field(default_factory=dict)

    def make(
        self, stage: str, benchmark: str, model: str, witness: Witness | None = None, config: MethodConfig | None = None
    ) -> AttackOutcome:
        session, target = self._session(benchmark), self._target(benchmark, model)
        self.journal.at(stage)
        few = {"batch_size": BATCH} if issubclass(self.spec.config, TrainingConfig) else {}
        config = config or self.spec.config(**{**few, **self.settings})
        spec = self.spec if witness is None else _watched(self.spec, witness, self.asked)
        others = {"the attacked checkpoint": target.model, "Compromised": session.training.clip.model}
        before = {name: fingerprint(other) for name, other in others.items()}
        outcome = run_attack(spec, config, 0, target, session)
        changed = [name for name, other in others.items() if fingerprint(other) != before[name]]
        self.journal.rule("untouched", f"it changed {changed[0]}" if changed else None)
        return outcome

    def _session(self, name: str) -> AttackSession:
        if name not in self.sessions:
            self.journal.at(f"opening the benchmark {name}")
            people, hidden = BENCHMARKS[name]
            folder = write_tiny_benchmark(self.scratch / name, people=people, hidden=hidden)
            if name == "taught":
                _teach(folder, self.accelerator)
            self.sessions[name] = attack_session(folder, self.accelerator)
        return self.sessions[name]

    def _target(self, benchmark: str, model: str) -> Clip:
        if (benchmark, model) not in self.targets:
            self.targets[benchmark, model] = self._session(benchmark).load(str(self.scratch / benchmark / model))
        return self.targets[benchmark, model]


def _teach(folder: Path, accelerator: Accelerator) -> None:
    """Train a benchmark's Compromised until it knows the forget rows."""
    session = attack_session(folder, accelerator).training
    clip, pool = session.clip, session.pools["forget"]
    model, rows = clip.model, np.arange(len(pool))
    images, tokens = pool.images(rows), pool.tokens(rows)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(_LESSONS):
        features = Features(model.encode_image(images, normalize=True), model.encode_text(tokens, normalize=True))
        optimizer.zero_grad()
        contrastive(features, model.logit_scale.exp()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    save_checkpoint(folder / "compromised", model, clip.config, clip.tokenizer)


@dataclass
class _Asked:
    """What an attack asked its context for.

    Attributes:
        given: What of that it was given.
        refused: What it was refused.
    """

    given: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)

    @contextmanager
    def noting(self, ctx: object) -> Iterator[None]:
        """Note what is asked for while a block runs."""
        kind = type(ctx)

        def noted(name: str) -> property:
            original = getattr(kind, name)

            def ask(given: Any) -> Any:
                self.given.add(name)
                return original.fget(given)

            return property(ask)

        def refuse(name: str) -> AttackError:
            self.refused.append(name)
            return not_given(name)

        facts = [name for name in ("leaked", "retain", "original") if hasattr(kind, name)]
        replacements: dict[tuple[Any, str], Any] = {(kind, name): noted(name) for name in facts}
        with replaced(replacements | {(model, "not_given"): refuse}):
            yield


def _watched(spec: AttackSpec, witness: Witness, asked: _Asked) -> AttackSpec:
    """The same attack, watched while its own code runs: also what it returns to be called later."""

    @wraps(getattr(spec, spec.kind))
    def attack(ctx: Any) -> Any:
        with asked.noting(ctx):
            returned = witness.watched(getattr(spec, spec.kind))(ctx)
        if isgenerator(returned):
            return _watched_stages(returned, ctx, witness, asked)
        if isinstance(returned, list | tuple):
            return [_watched_later(one, witness) for one in returned]
        return _watched_later(returned, witness)

    leaked = witness.watched(spec.leaked) if spec.leaked else None
    return spec.model_copy(update={spec.kind: attack, "leaked": leaked})


def _watched_later(returned: Any, witness: Witness) -> Any:
    """A query or a reading whose functions are watched; anything else as it is."""
    names = {Query: ("images", "pixels"), Reading: ("texts",)}.get(type(returned), ())
    watched = {name: witness.watched(call) for name in names if (call := getattr(returned, name))}
    return replace(returned, **watched) if watched else returned


def _watched_stages(attack: Iterator[Any], ctx: Any, witness: Witness, asked: _Asked) -> Iterator[Any]:
    """The stages of an attack, watched while it goes on and not while they are scored."""
    go_on = asked.noting(ctx)(witness.watched(next))
    yield from iter(partial(go_on, attack, END), END)


def _report(spec: AttackSpec, outcome: AttackOutcome, asked: _Asked, journal: Journal) -> None:
    """What the first attack says."""
    if asked.refused:
        went_on = "" if outcome.status == "crashed" else ", was refused, and went on"
        journal.rule("given", f"it asked for {asked.refused[0]!r}, which `given` does not list{went_on}")
    if outcome.status != "valid":
        left = {"unchanged": "result", "non-finite": "result", "altered": "result"}
        broken = "untouched" if "only given to look at" in outcome.reason else left.get(outcome.status, "runs")
        if not asked.refused:
            journal.rule(broken, _what(outcome))
        return
    journal.rule("runs")
    journal.rule("result")
    drew = {"leaked": outcome.ledger.forget_samples, "retain": outcome.ledger.retain_samples}
    unused = [name for name in spec.given if name not in asked.given and not drew.get(name)]
    told = f"`given` lists {', '.join(unused)}, which it never asks for" if unused else None
    journal.rule("given", told, advice=True)


def _bits(outcome: AttackOutcome) -> str:
    """Everything that came of an attack, to the last bit."""
    left = fingerprint(outcome.model) if outcome.model is not None else None
    values = {name: value.hex() for name, value in outcome.values.items()}
    return hash_json([outcome.status, values, outcome.rows.to_pydict(), outcome.details, left])


def _what(outcome: AttackOutcome) -> str | None:
    """What is wrong with an attack, in a sentence."""
    if outcome.status == "valid":
        return None
    return f"the attack is {outcome.status}: {outcome.reason}{last_line(outcome.traceback)}"
