"""One attack, from a checkpoint to what leaks again."""

from __future__ import annotations

from salmu_core.attack.outcome import AttackOutcome
from salmu_core.attack.session import AttackSession
from salmu_core.clip.model import Clip
from salmu_core.contract.attack import AttackSpec
from salmu_core.contract.config import MethodConfig
from salmu_core.train.observer import UNSEEN, Observer


def run_attack(
    spec: AttackSpec,
    config: MethodConfig,
    seed: int,
    target: Clip,
    session: AttackSession,
    observer: Observer = UNSEEN,
) -> AttackOutcome:
    """Attack one checkpoint and score what comes out; an attack's exception is an outcome, not an error.

    Args:
        spec: The attack.
        config: Its validated configuration.
        seed: Decides which rows leak, the order of the data and every random number.
        target: The attacked checkpoint, as `AttackSession.load` has it: a run's, Compromised or Clean.
        session: Data, Compromised and the metrics, as `AttackSession.open` has them.
        observer: Who looks on.
    """
    raise NotImplementedError
