"""Has a learning rate among its settings, and trains nothing."""

from salmu_core import MethodSpec, TrainingConfig, hookimpl


def unlearn(ctx):
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(2)


@hookimpl
def salmu_methods():
    return [
        MethodSpec(
            name="lists-a-learning-rate",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            config=TrainingConfig,
            unlearn=unlearn,
        )
    ]
