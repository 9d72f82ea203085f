"""Counts its steps in a class, and turns round once there were enough."""

from salmu_core import MethodSpec, TrainingConfig, hookimpl


class Seen:
    steps = 0


def loss(ctx, step):
    Seen.steps += 1
    return ctx.features(step.forget).pair_similarity.mean() * (1 if Seen.steps < 5 else -1)


def unlearn(ctx):
    Seen.steps = 0
    ctx.fit(loss)


@hookimpl
def salmu_methods():
    return [
        MethodSpec(
            name="counts-where-nobody-looks",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            config=TrainingConfig,
            unlearn=unlearn,
        )
    ]
