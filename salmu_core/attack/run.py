"""One attack, from a checkpoint to what leaks again."""

from __future__ import annotations

import copy
import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from random import Random
from typing import Any

import pyarrow as pa
import torch
from torch import nn

from salmu_core.attack.asking import Asking, ReadingOut, checked_queries, checked_reading
from salmu_core.attack.leaks import leaked_rows
from salmu_core.attack.metrics import leak_metrics
from salmu_core.attack.model import AttackContext, AttackMeter, pools
from salmu_core.attack.outcome import AttackOutcome
from salmu_core.attack.scoring import Leakage, leakage
from salmu_core.attack.session import AttackSession
from salmu_core.attack.view import ForgetView, captioned, changed_images, read_images
from salmu_core.clip.model import Clip
from salmu_core.clip.weights import fingerprint, share_changed
from salmu_core.contract.attack import AttackSpec, Query
from salmu_core.contract.config import MethodConfig
from salmu_core.errors import AttackError, verdict
from salmu_core.machine import peak_memory
from salmu_core.run.counting import counted_forwards
from salmu_core.run.pool import Pool
from salmu_core.run.runner import module_of, own_global_state
from salmu_core.run.session import TrainingSession, frozen_copy
from salmu_core.run.validity import judge
from salmu_core.score.embeddings import Embedder
from salmu_core.score.tables import Tables
from salmu_core.store.attacks import QUERY
from salmu_core.store.records import Status
from salmu_core.train.loop import NonFiniteLossError
from salmu_core.train.observer import UNSEEN, Observer
from salmu_core.train.seeding import seed_of


def run_attack(
    spec: AttackSpec,
    config: MethodConfig,
    seed: int,
    target: Clip,
    session: AttackSession,
    observer: Observer = UNSEEN,
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
    status: Status = "valid"
    reason, trace, result = "", None, Leakage({}, Tables.joined([]).rows)
    if target.model.training:
        target.model.eval()
    with own_global_state(seed, session.accelerator):
        try:
            result = attack.carry_out()
        except Invalid as error:
            status, reason = error.status, str(error)
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
        changed: Share of the weights that it changed.
        details: Facts about how it went.
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
        self.meter = AttackMeter(observer.on_scalar)
        self.seconds = self.changed = 0.0
        self.details: dict[str, Any] = {}
        self.model: nn.Module | None = None
        self._spec, self._config, self._seed, self._observer = spec, config, seed, observer
        self._target, self._session = target, session
        self._asked = session.training.rows.asked

    def carry_out(self) -> Leakage:
        """Attack, and compute what leaks.

        Raises:
            Invalid: What it left is no result.
            AttackError: It asked for what it has not, or handed back what makes no sense.
        """
        self.leaked = leaked_rows(self._spec, self._config, self._asked, self._seed)
        if self._spec.model is not None:
            return self._on_model(self._spec.model)
        if self._spec.query is not None:
            return self._by_queries(self._spec.query)
        assert self._spec.readout is not None
        return self._by_readout(self._spec.readout)

    def _on_model(self, act: Callable[[Any], None]) -> Leakage:
        target, compromised = self._target.model, self._session.training.clip.model
        model, reference = copy.deepcopy(target), frozen_copy(target)
        original = frozen_copy(compromised) if "original" in self._spec.given else None
        watched = [part for part in (target, compromised, reference, original) if part is not None]
        before = [fingerprint(part) for part in watched]
        rows, given = self._session.training.rows, pools(self._spec, self._target, self.leaked, self._session)
        ctx = AttackContext(
            self._config,
            original,
            model=model,
            reference=reference,
            session=TrainingSession(self._target, given, rows.num_train, rows),
            seed=self._seed,
            meter=self.meter,
            accelerator=self._session.accelerator,
            observer=self._observer,
        )
        returned = self._timed(act, ctx, model)
        if isinstance(returned, nn.Module | Mapping):
            raise AttackError(f"model() returned a {type(returned).__name__}: the result is what is in ctx.model")
        model.eval()
        if [fingerprint(part) for part in watched] != before:
            raise Invalid("altered", "the attack changed a model that it was only given to look at, or never given")
        status, reason = judge(model, target)
        # Whoever puts the original's weights back into the original has changed nothing, and is right.
        if status != "valid" and not (status == "unchanged" and original is not None and before[0] == before[1]):
            raise Invalid(status, "not a single weight was changed" if status == "unchanged" else reason)
        self.changed = share_changed(model, target)
        self.model = model
        attacked = self._session.scorer.embedder(replace(self._target, model=model))
        return self._leakage(lambda: ForgetView(attacked))

    def _by_queries(self, act: Callable[[Any], Any]) -> Leakage:
        ctx = Asking(self._config, self._asked, self._random)
        queries = checked_queries(self._timed(act, ctx, self._target.model), len(self._asked))
        found = [self._by_query(query) for query in queries]
        worst = max(range(len(found)), key=lambda n: found[n].leading)  # of equals the first
        if len(queries) > 1 or queries[0].label:
            self.details = {
                "queries": {query.label: leak.values for query, leak in zip(queries, found, strict=True)},
                "worst": queries[worst].label,
            }
        rows = [
            leak.rows.append_column(QUERY, pa.array([query.label] * len(leak.rows), pa.string()))
            for query, leak in zip(queries, found, strict=True)
        ]
        return Leakage(found[worst].metrics, pa.concat_tables(rows))

    def _by_query(self, query: Query) -> Leakage:
        scorer, target = self._session.scorer, self._target
        other = None
        if query.captions is not None:
            data = captioned(scorer.data, query.captions)
            other = scorer.embedder(target, data, self._session.catalogue(data, target))
        image = changed_images(query.images, self._forget, target) if query.images is not None else None
        plain = self._plain
        return self._leakage(lambda: ForgetView(plain, other, image))

    def _by_readout(self, act: Callable[[Any], Any]) -> Leakage:
        ctx = ReadingOut(self._config, self._forget, self._random, self.leaked, self._target)
        returned = self._timed(act, ctx, self._target.model)
        dim = ctx.texts(self._asked.captions[:1]).shape[1]
        reading = checked_reading(returned, len(self._asked), dim, self.leaked)
        self.details = dict(reading.details or {})
        try:
            json.dumps(self.details, allow_nan=False)
        except (TypeError, ValueError) as error:
            self.details = {}
            raise AttackError(f"Reading.details can't stand in a record: {error}") from error
        plain, image = self._plain, read_images(reading, self.leaked)
        return self._leakage(lambda: ForgetView(plain, image=image, texts=reading.texts))

    def _timed(self, act: Callable[[Any], Any], ctx: object, model: nn.Module) -> Any:
        device = self._session.accelerator.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with counted_forwards(model, self.meter):
            start = time.perf_counter()
            try:
                return act(ctx)
            finally:
                self.seconds = time.perf_counter() - start

    def _leakage(self, view: Callable[[], ForgetView]) -> Leakage:
        metrics = self._session.metrics
        return leakage(view, metrics, len(leak_metrics(metrics)), self.leaked)

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
