"""Attacks that try to bring back what a checkpoint was made to forget, of every kind."""

from salmu_attacks.bare_value import BARE_VALUE
from salmu_attacks.interpolate import INTERPOLATE
from salmu_attacks.linear_readout import LINEAR_READOUT
from salmu_attacks.relearn_leaked import RELEARN_LEAKED
from salmu_attacks.relearn_person import RELEARN_PERSON
from salmu_attacks.relearn_retain import RELEARN_RETAIN
from salmu_attacks.reload import RELOAD
from salmu_attacks.rounded import ROUNDED
from salmu_core import AttackSpec, hookimpl


@hookimpl
def salmu_attacks() -> list[AttackSpec]:
    """Declare the attacks."""
    return [
        RELEARN_RETAIN,
        RELEARN_LEAKED,
        RELEARN_PERSON,
        RELOAD,
        INTERPOLATE,
        ROUNDED,
        BARE_VALUE,
        LINEAR_READOUT,
    ]
