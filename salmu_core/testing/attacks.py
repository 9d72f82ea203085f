"""Attacks on the models of a small benchmark, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import Accelerator

from salmu_core.attack import run
from salmu_core.attack.outcome import AttackOutcome
from salmu_core.contract.attack import AttackSpec
from salmu_core.testing.leak import attack_session


def run_attack(
    spec: AttackSpec, benchmark: Path, model: str = "compromised", *, seed: int = 0, **config: Any
) -> AttackOutcome:
    """Attack one of a benchmark folder's two models, as `salmu run --attack` would, and write nothing.

    Args:
        spec: The attack.
        benchmark: A benchmark folder, e.g. from `write_tiny_benchmark`.
        model: ``compromised``, ``clean``, or any model that open_clip's ``local-dir:`` loads.
        seed: Decides which rows leak, and every random number.
        config: Fields of the attack's configuration.

    Returns:
        What came of it; ``values["Rank"]`` is the mean reciprocal rank of an image's caption among all forget
        captions, over the forget rows that the attacker did not hold.
    """
    session = attack_session(benchmark, Accelerator(cpu=True))
    source = str(benchmark.resolve() / model) if model in ("compromised", "clean") else model
    return run.run_attack(spec, spec.config(**config), seed, session.load(source), session)


def attack_context(
    spec: AttackSpec, benchmark: Path, model: str = "compromised", *, seed: int = 0, **config: Any
) -> Any:
    """What an attack would be given: a `ModelAttackContext`, a `QueryContext` or a `ReadoutContext`.

    Args:
        spec: The attack.
        benchmark: A small benchmark folder.
        model: As for `run_attack`.
        seed: As for `run_attack`.
        config: Fields of the attack's configuration.
    """
    given: list[Any] = []
    run_attack(spec.model_copy(update={spec.kind: given.append}), benchmark, model, seed=seed, **config)
    return given[0]
