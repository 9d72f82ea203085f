"""Asks for everybody in the same words."""

from salmu_core import AttackSpec, Query, hookimpl


def attack(ctx):
    return Query(["A person"] * len(ctx.forget))


@hookimpl
def salmu_attacks():
    return [
        AttackSpec(
            name="attack-finds-nothing",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            query=attack,
        )
    ]
