"""What an attack on the model is handed: a run's context on the attacked checkpoint, with other data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from torch import nn

from salmu_core.clip.model import Clip
from salmu_core.contract.attack import AttackSpec, ModelAttackContext
from salmu_core.contract.context import C
from salmu_core.contract.features import Pairs, PoolName
from salmu_core.contract.model import ClipModel
from salmu_core.contract.probe import Probe
from salmu_core.contract.progress import OnScalar
from salmu_core.errors import AttackError
from salmu_core.run.context import RunContext
from salmu_core.run.meter import Meter
from salmu_core.run.pool import Pool, Pools, common_batch
from salmu_core.run.session import TrainingRows
from salmu_core.store.records import Ledger
from salmu_core.train.seeding import generator


class GivenPools(Pools):
    """The sets that an attack is given; asking for another says why there is none."""

    def __missing__(self, name: PoolName) -> Pool:
        raise not_given(name)


def not_given(name: str) -> AttackError:
    """What to say to an attack that asks for something it does not hold."""
    if name == "forget":
        return AttackError(
            "an attack has no forget set: the forget pairs that it holds are ctx.leaked and step.leaked, and which "
            "they are its `leaked` says"
        )
    return AttackError(
        f"this attack is not given {name!r}: what an attacker is taken to hold stands in its `given`; add it there, or "
        "do without"
    )


class LeakedPool(Pool):
    """The leaked pairs: they come round again as often as they are asked for, and may be fewer than a batch."""

    def room(self, batch: int) -> int:
        return min(batch, len(self.rows))

    def draw(self, batch: int, step: int, *parts: object) -> np.ndarray:
        return super().draw(self.room(batch), step, *parts)

    def batches(self, batch: int) -> int:
        return super().batches(self.room(batch))


def pools(spec: AttackSpec, target: Clip, leaked: tuple[int, ...], rows: TrainingRows) -> Pools:
    """The sets that an attack draws from, as one checkpoint takes them, on its device."""
    given, device = GivenPools(), next(target.model.parameters()).device
    if "leaked" in spec.given:
        given["leaked"] = LeakedPool("leaked", rows.forget, target, device, rows.asked, np.array(leaked))
    if "retain" in spec.given:
        given["retain"] = Pool("retain", rows.retain, target, device)
    return given


class AttackMeter(Meter):
    """Counts what an attack draws; nothing ends."""

    def __init__(self, on_scalar: OnScalar) -> None:
        super().__init__(0, 0, on_scalar)
        self.cap = sys.maxsize
        self.drawn: dict[PoolName, int] = {"leaked": 0, "retain": 0}

    def room(self, pool: PoolName) -> int:
        return self.cap

    def affordable(self, size: int, before: Mapping[PoolName, int], steps: int | None) -> int:
        if steps is None:
            raise AttackError("fit() in an attack needs steps=...: an attacker has no budget that would end it")
        return steps

    def ledger(self, seconds: float, peak_memory_bytes: int, weights_changed: float) -> Ledger:
        self.drawn["forget"] = self.drawn["leaked"]  # leaked pairs are forget pairs
        return super().ledger(seconds, peak_memory_bytes, weights_changed)


class AttackContext(RunContext[C], ModelAttackContext[C]):
    """One attack's working parts: those of a run on the attacked checkpoint.

    Args:
        config: The attack's validated configuration.
        before: A frozen copy of Compromised; None where the attacker has none.
        absent: Where it may write what is not measured.
        parts: The others, as of `RunContext`.
    """

    def __init__(self, config: C, before: nn.Module | None, absent: dict[str, str], **parts: Any) -> None:
        super().__init__(config, **parts)
        self._original, self._absent = before, absent

    def not_measured(self, label: str, reason: str) -> None:
        self._absent[label] = reason

    @property
    def leaked(self) -> Pairs:
        return self._pools["leaked"].pairs

    @property
    def original(self) -> ClipModel:
        if self._original is None:
            raise not_given("original")
        return cast("ClipModel", self._original)

    def restart(self) -> None:
        self._model.load_state_dict(self._reference.state_dict())
        self._rng.set_state(generator("run", self._seed).get_state())
        self._state.clear()
        self._meter.begun, self._meter.passes = self._meter.steps, 0

    def probe(self) -> Probe:
        raise AttackError(
            "an attack has no probe, which looks at forget pairs that the attacker does not hold: judge progress by "
            "ctx.leaked, of which some can be kept out of training"
        )

    def _batch_size(self, batch_size: int) -> int:
        others: dict[PoolName, Pool] = {name: pool for name, pool in self._pools.items() if name != "leaked"}
        if others:
            return common_batch(others, batch_size)
        return self._pools["leaked"].room(batch_size) if self._pools else batch_size
