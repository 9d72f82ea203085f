"""Returns the method instead of a list."""

from salmu_core import MethodSpec, hookimpl


@hookimpl
def salmu_methods():
    return MethodSpec(name="wrong-return-type", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=print)
