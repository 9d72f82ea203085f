"""One attack, from a checkpoint to what leaks again."""

from __future__ import annotations

import copy
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property, partial
from inspect import isgenerator
from random import Random
from typing import Any

import torch
from torch import nn

from salmu_core.attack.asking import A, Asking, ReadingOut, checked_queries, checked_readings
from salmu_core.attack.leaks import leaked_rows, unscored_rows
from salmu_core.attack.metrics import leak_metrics
from salmu_core.attack.model import AttackContext, AttackMeter, pools
from salmu_core.attack.outcome import AttackOutcome
from salmu_core.attack.scoring import Leakage, labelled, leakage
from salmu_core.attack.session import AttackSession
from salmu_core.attack.stages import END, stages
from salmu_core.attack.view import ExchangedView, ForgetView, captioned, changed_images, read_images
from salmu_core.clip.model import Clip
from salmu_core.clip.weights import fingerprint, share_changed
from salmu_core.contract.attack import AttackSpec, Query, Reading, Stage
from salmu_core.contract.config import MethodConfig
from salmu_core.errors import AttackError, NotMeasuredError, described, verdict
from salmu_core.machine import peak_memory, random_state_kept
from salmu_core.run.counting import counted_forwards
from salmu_core.run.pool import Pool
from salmu_core.run.runner import module_of, own_global_state
from salmu_core.run.session import TrainingSession, frozen_copy
from salmu_core.run.validity import judge
from salmu_core.score.embeddings import Embedder
from salmu_core.score.tables import Tables
from salmu_core.store.attacks import AttackStatus
from salmu_core.store.records import Status
from salmu_core.train.loop import NonFiniteLossError
from salmu_core.train.observer import UNSEEN, Observer
from salmu_core.train.seeding import seed_of


def run_attack(
    spec: AttackSpec, config: MethodConfig, seed: int, target: Clip, session: AttackSession, observer: Observer = UNSEEN
) -> AttackOutcome:
    """Attack one checkpoint and score what comes out; a mistake of its code is an outcome, not an error.

    Args:
        spec: The attack.
        config: Its validated configuration.
        seed: Decides which rows leak, the order of the data and every random number.
        target: The attacked checkpoint, as `AttackSession.load` has it: a run's, Compromised or Clean.
        session: Data, Compromised and the metrics, as `AttackSession.open` has them.
        observer: Who looks on.

    Raises:
        MachineError: What ended it says nothing of the attack, and there is no outcome.
    """
    attack = Attack(spec, config, seed, target, session, observer)
    status: AttackStatus = "valid"
    reason, trace, result = "", None, Leakage({}, Tables.joined([]).rows)
    if target.model.training:
        target.model.eval()
    with own_global_state(seed, session.accelerator):
        try:
            result = attack.carry_out()
        except Invalid as error:
            status, reason = error.status, str(error)
        except NotMeasuredError as error:
            status, reason = "not-measured", described(error) or "this benchmark has nothing for it"
        except NonFiniteLossError as error:
            status, reason = "non-finite", str(error)
        except BaseException as error:  # SystemExit too: a plugin must not end the others
            reason = verdict(error, module_of(spec.model or spec.query or spec.readout))
            status, trace = "crashed", traceback.format_exc()
    session.accelerator.free_memory()
    return AttackOutcome(
        result.metrics,
        result.rows,
        status,
        reason,
        attack.leaked,
        attack.meter.ledger(attack.seconds, peak_memory(session.accelerator.device), attack.changed),
        attack.details,
        attack.not_measured,
        tuple(attack.meter.fits),
        attack.meter.scalars,
        attack.model,
        trace,
    )


class Invalid(Exception):
    """What an attack left is no result.

    Args:
        status: In a word.
        reason: In a sentence.
    """

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status


class Attack:
    """An attack while it goes on: what is known of it so far.

    Attributes:
        leaked: Numbers of the rows that the attacker holds.
        meter: What it costs.
        seconds: The attacker's own, without scoring.
        changed: Share of the weights that it changed, of several stages at the one that changed most.
        details: Facts about how it went.
        not_measured: Label of a query, reading or stage that there is nothing for -> why.
        model: Of an attack on the model, what it left.
    """

    def __init__(
        self,
        spec: AttackSpec,
        config: MethodConfig,
        seed: int,
        target: Clip,
        session: AttackSession,
        observer: Observer,
    ) -> None:
        self.leaked: tuple[int, ...] = ()
        self._unscored: tuple[int, ...] = ()
        self.meter = AttackMeter(observer.on_scalar)
        self.seconds = self.changed = 0.0
        self.details: dict[str, Any] = {}
        self.not_measured: dict[str, str] = {}
        self.model: nn.Module | None = None
        self._spec, self._config, self._seed, self._observer = spec, config, seed, observer
        self._target, self._session = target, session
        self._asked = session.training.rows.asked

    def carry_out(self) -> Leakage:
        """Attack, and compute what leaks.

        Raises:
            Invalid: What it left is no result.
            AttackError: It asked for what it has not, or handed back what makes no sense.
            NotMeasuredError: The benchmark or the model has nothing for it.
        """
        if (device := self._session.accelerator.device).type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self.leaked = leaked_rows(self._spec, self._config, self._asked, self._seed)
        self._unscored = unscored_rows(self._spec, self._asked, self.leaked)
        if self._spec.model is not None:
            return self._on_model(self._spec.model)
        if self._spec.query is not None:
            return self._by_queries(self._spec.query)
        assert self._spec.readout is not None
        return self._by_readout(self._spec.readout)

    def _on_model(self, act: Callable[[Any], Any]) -> Leakage:
        target, training = self._target.model, self._session.training
        model, reference = copy.deepcopy(target), frozen_copy(target)
        original = frozen_copy(training.clip.model) if "original" in self._spec.given else None
        watched = [part for part in (target, training.clip.model, reference, original) if part is not None]
        before = [*map(fingerprint, watched)]
        rows, given = training.rows, pools(self._spec, self._target, self.leaked, training.rows)
        ctx = AttackContext(
            self._config,
            original,
            self.not_measured,
            model=model,
            reference=reference,
            session=TrainingSession(self._target, given, rows.num_train, rows),
            seed=self._seed,
            meter=self.meter,
            accelerator=self._session.accelerator,
            observer=self._observer,
        )

        def check() -> None:
            if [*map(fingerprint, watched)] != before:
                raise Invalid("altered", "the attack changed a model that it was only given to look at, or never given")

        try:
            reached = {stage: self._left(model) for stage in self._stages(partial(act, ctx), model)}
        except Exception:
            check()  # what failed may have changed what others share
            raise
        check()
        # Whoever puts the original's weights back into the original has changed nothing, and is right.
        if self.changed == 0 and not (original is not None and before[0] == before[1]):
            raise Invalid("unchanged", "not a single weight was changed")
        self.model = model
        told = [{**vars(stage), "values": leak.values} for stage, leak in reached.items() if stage.label]
        self.details = {"stages": told} if told else {}
        return self._reported({stage.label: leak for stage, leak in reached.items()})

    def _stages(self, act: Callable[[], Any], model: nn.Module) -> Iterator[Stage]:
        """Let an attack on the model go on from stage to stage; what yields none is one, without a label."""
        returned = self._timed(act, model)
        if isinstance(returned, nn.Module | Mapping):
            raise AttackError(f"model() returned a {type(returned).__name__}: the result is what is in ctx.model")
        if not isgenerator(returned):
            yield Stage("")
            return
        with closing(returned):
            yield from stages(partial(self._timed, partial(next, returned, END), model))

    def _left(self, model: nn.Module) -> Leakage:
        """What leaks from the attacked model as it stands."""
        model.eval()
        status, reason = judge(model, self._target.model)
        if status not in ("valid", "unchanged"):
            raise Invalid(status, reason)
        self.changed = max(self.changed, share_changed(model, self._target.model))
        attacked = self._session.scorer.embedder(replace(self._target, model=model))
        with random_state_kept():
            return self._leakage(lambda: ForgetView(attacked))

    def _by_queries(self, act: Callable[[Any], Any]) -> Leakage:
        ctx = Asking(self._config, self._asked, self._random, self.not_measured)
        queries = checked_queries(self._timed(partial(act, ctx), self._target.model), len(self._asked))
        found = self._measured(queries, self._by_query)
        if any(found):
            self.details = {"queries": {label: leak.values for label, leak in found.items()}}
        return self._reported(found)

    def _measured(self, parts: Sequence[A], score: Callable[[A], Leakage]) -> dict[str, Leakage]:
        """What leaks by each query or reading, by its label; one that there is nothing for costs no other."""
        found: dict[str, Leakage] = {}
        for part in parts:
            try:
                found[part.label] = score(part)
            except NotMeasuredError as error:
                self.not_measured[part.label] = described(error)
        if not found:
            raise NotMeasuredError("; ".join(dict.fromkeys(self.not_measured.values())))
        return found

    def _reported(self, found: Mapping[str, Leakage]) -> Leakage:
        """Of several queries, readings or stages the metrics of the one that leads, and the labelled rows of all."""
        if not any(found):
            return found[""]
        self.details["worst"] = worst = max(found, key=lambda label: found[label].leading)  # of equals the first
        return Leakage(found[worst].metrics, labelled(found))

    def _by_query(self, query: Query) -> Leakage:
        scorer, target = self._session.scorer, self._target
        other = None
        if query.captions is not None:
            data = captioned(scorer.data, query.captions)
            other = scorer.embedder(target, data, self._session.catalogue(data, target))
        image = changed_images(query, self._forget, target) if query.images or query.pixels else None
        plain, view = self._plain, ExchangedView if query.exchanged else ForgetView
        return self._leakage(lambda: view(plain, other, image))

    def _by_readout(self, act: Callable[[Any], Any]) -> Leakage:
        given = pools(self._spec, self._target, self.leaked, self._session.training.rows)
        ctx = ReadingOut(self._config, self._forget, self._random, self.not_measured, self.leaked, given, self._target)
        returned = self._timed(partial(act, ctx), self._target.model)
        dim = ctx.texts(self._asked.captions[:1]).shape[1]
        readings = checked_readings(returned, len(self._asked), dim, self.leaked)
        found, details = self._measured(readings, self._by_reading), {it.label: it.details or {} for it in readings}
        told = {label: {**details[label], "values": leak.values} for label, leak in found.items()}
        self.details = {"readings": told} if any(found) else dict(details[""])
        return self._reported(found)

    def _by_reading(self, reading: Reading) -> Leakage:
        plain, image = self._plain, read_images(reading, self.leaked)
        return self._leakage(lambda: ForgetView(plain, image=image, texts=reading.texts))

    def _timed(self, act: Callable[[], Any], model: nn.Module) -> Any:
        with counted_forwards(model, self.meter):
            start = time.perf_counter()
            try:
                return act()
            finally:
                self.seconds += time.perf_counter() - start

    def _leakage(self, view: Callable[[], ForgetView]) -> Leakage:
        metrics = self._session.metrics
        return leakage(view, metrics, len(leak_metrics(metrics)), self._unscored)

    @cached_property
    def _plain(self) -> Embedder:
        """The attacked checkpoint's own embeddings."""
        return self._session.scorer.embedder(self._target)

    @property
    def _random(self) -> Random:
        return Random(seed_of("attack", self._spec.name, self._seed))

    @property
    def _forget(self) -> Pool:
        """All forget rows, as the attacked checkpoint takes them."""
        rows, device = self._session.training.rows, self._session.accelerator.device
        return Pool("forget", rows.forget, self._target, device, rows.asked)
