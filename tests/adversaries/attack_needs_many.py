"""Wants four people at least whose rows are known."""

from salmu_core import AttackSpec, Reading, hookimpl


def attack(ctx):
    assert len(ctx.leaked) > 5, "too few rows to fit on"
    return Reading(ctx.features().image)


@hookimpl
def salmu_attacks():
    return [
        AttackSpec(
            name="attack-needs-many",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            given=("leaked",),
            readout=attack,
        )
    ]
