"""Breaks where the forget set is smaller than its batch."""

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    assert len(ctx.forget) >= 12, "too few pairs for me"
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(2)


@hookimpl
def salmu_methods():
    return [
        MethodSpec(
            name="needs-a-full-batch",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            unlearn=unlearn,
        )
    ]
