"""Divides by nothing."""

from salmu_core import AttackSpec, hookimpl


def attack(ctx):
    with ctx.edit() as weights:
        weights["visual.proj"].div_(0.0).sub_(weights["visual.proj"].clone())


@hookimpl
def salmu_attacks():
    return [
        AttackSpec(
            name="attack-turns-to-nan",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            model=attack,
        )
    ]
