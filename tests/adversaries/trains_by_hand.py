"""Goes over the same batches three times, with an optimizer written out."""

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    batches = list(ctx.batches("forget", 8))
    for _ in range(3):
        for batch in batches:
            ctx.features(batch).pair_similarity.mean().backward()
            for p in ctx.model.parameters():
                if p.grad is not None:
                    p.data.add_(p.grad, alpha=-0.01)
                p.grad = None


@hookimpl
def salmu_methods():
    return [
        MethodSpec(name="trains-by-hand", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)
    ]
