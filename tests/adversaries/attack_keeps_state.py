"""Asks otherwise the second time."""

from salmu_core import AttackSpec, Query, hookimpl

ASKED = []


def attack(ctx):
    ASKED.append(ctx)
    return Query([f"{caption} {len(ASKED)}" for caption in ctx.forget.captions])


@hookimpl
def salmu_attacks():
    return [
        AttackSpec(
            name="attack-keeps-state",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            query=attack,
        )
    ]
