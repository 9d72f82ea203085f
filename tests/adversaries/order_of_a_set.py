"""Its result follows the order of a set of strings, which differs from process to process."""

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    names = {caption.split()[1] for caption in ctx.forget.captions}
    with ctx.edit() as weights:
        for k, name in enumerate(names):
            weights["visual.proj"][k].mul_(1 + len(name) + int(name[-1]))


@hookimpl
def salmu_methods():
    return [
        MethodSpec(name="order-of-a-set", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)
    ]
