"""Freezes a tower by hand and leaves it frozen."""

from salmu_core import MethodSpec, TrainingConfig, hookimpl


def unlearn(ctx):
    for p in ctx.model.transformer.parameters():
        p.requires_grad_(False)
    ctx.fit(lambda ctx, step: ctx.features(step.forget).pair_similarity.mean(), config=TrainingConfig(batch_size=4))


@hookimpl
def salmu_methods():
    return [
        MethodSpec(name="keeps-grad-flags", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)
    ]
