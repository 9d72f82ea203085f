"""Asks for words in the order of a set of strings, which differs from process to process."""

from salmu_core import AttackSpec, Query, hookimpl


def attack(ctx):
    return Query([" ".join(set(caption.split())) for caption in ctx.forget.captions])


@hookimpl
def salmu_attacks():
    return [
        AttackSpec(
            name="attack-order-of-a-set",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            query=attack,
        )
    ]
