"""The stages of an attack on the model: wherever it yields, its model is scored as it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isfinite

from salmu_core.contract.attack import Stage
from salmu_core.errors import AttackError

#: What an attack has come to where it yields no more.
END = object()


def stages(go_on: Callable[[], object]) -> Iterator[Stage]:
    """Each stage of an attack, while it is there.

    Args:
        go_on: Lets the attack go on to where it yields, and gives what it yields; `END` at its end.

    Raises:
        AttackError: It yields nothing, something else, or a label twice.
    """
    labels: set[str] = set()
    while (yielded := go_on()) is not END:
        stage = Stage(yielded) if isinstance(yielded, str) else yielded
        if not isinstance(stage, Stage) or not isinstance(stage.label, str) or not stage.label:
            raise AttackError(f"model() yielded {yielded!r}; it must yield a label, or a Stage with one")
        if stage.step is not None and not (isinstance(stage.step, int | float) and isfinite(stage.step)):
            raise AttackError(f"model() yielded {stage!r}, whose step is no finite number")
        if stage.label in labels:
            raise AttackError(
                f"model() yielded {stage.label!r} twice: give each stage a label of its own, for the record"
            )
        labels.add(stage.label)
        yield stage
    if not labels:
        raise AttackError(
            "model() yielded nothing, so there is no stage to score: yield a label wherever the model is to be scored, "
            "or have no `yield` in it, and what it leaves is scored"
        )
