"""Attacks that try to bring back what a checkpoint was made to forget, of every kind."""

from salmu_attacks.ask_otherwise import ASK_OTHERWISE
from salmu_attacks.bare_value import BARE_VALUE
from salmu_attacks.deja_vu import DEJA_VU
from salmu_attacks.interpolate import INTERPOLATE
from salmu_attacks.linear_readout import LINEAR_READOUT
from salmu_attacks.name_inference import NAME_INFERENCE
from salmu_attacks.nearest_persona import NEAREST_PERSONA
from salmu_attacks.relearn_leaked import RELEARN_LEAKED
from salmu_attacks.relearn_person import RELEARN_PERSON
from salmu_attacks.relearn_retain import RELEARN_RETAIN
from salmu_attacks.reload import RELOAD
from salmu_attacks.rounded import ROUNDED
from salmu_attacks.text_to_image import TEXT_TO_IMAGE
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
        ASK_OTHERWISE,
        TEXT_TO_IMAGE,
        LINEAR_READOUT,
        NEAREST_PERSONA,
        NAME_INFERENCE,
        DEJA_VU,
    ]
