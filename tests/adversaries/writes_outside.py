"""Keeps a copy of the weights in the user's home, and one where it stands."""

from pathlib import Path

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(1.5)
    (Path.home() / "weights.bin").write_bytes(b"mine")
    Path("weights.bin").write_bytes(b"mine")


@hookimpl
def salmu_methods():
    return [
        MethodSpec(name="writes-outside", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)
    ]
