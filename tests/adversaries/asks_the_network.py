"""Downloads something, and goes on without it."""

import contextlib
import socket

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(1.5)
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", 9), timeout=0.1)


@hookimpl
def salmu_methods():
    return [
        MethodSpec(name="asks-the-network", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)
    ]
