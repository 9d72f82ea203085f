"""Counterfactual: forget captions lose their person, the same sentences about others keep what they were."""

from salmu_core import MethodSpec, hookimpl
from salmu_counterfactual.method import Config, unlearn


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="counterfactual",
            summary="Forget captions lose their person; the same sentences about others keep what they mean.",
            paper="https://arxiv.org/abs/2603.26316",
            departures="First published here, against the three failure modes that the paper names.",
            config=Config,
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
