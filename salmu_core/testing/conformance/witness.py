"""Watches what a plugin does to its process: files, sockets, global random states, patched functions.

It notices what Python code does by Python's means. It is no sandbox: native code passes it by.
"""

from __future__ import annotations

import logging
import os
import platform
import random
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import safetensors.torch
import torch

from salmu_core.machine import cache_folder
from salmu_core.testing.conformance.journal import Journal
from salmu_core.testing.conformance.loop_watch import LoopWatch

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: Audit events of which some argument is a path that is written to.
_WRITES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod"}
_OUTSIDE = {"socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.fork", "os.posix_spawn"}
_OUTSIDE |= {"os.exec", "os.spawn", "os.forkpty"}


class Witness:
    """Remembers, while `watching`, what would break a rule. Audit hooks can't be removed: one per process.

    Attributes:
        written: Paths that were written to.
        read: Paths below the forbidden folder that were read.
        outside: Processes that were started and connections that were opened.
        drew: Global random generators that were drawn from or seeded.
        changed: Shared state that was left changed.
        loop: What is seen of the core's loop.
        backwards: Calls of ``backward()`` outside of that loop.

    Args:
        forbidden: A folder nothing may be read from.
    """

    def __init__(self, forbidden: Path) -> None:
        self.written: list[str] = []
        self.read: list[str] = []
        self.outside: list[str] = []
        self.drew: list[str] = []
        self.changed: list[str] = []
        self.loop = LoopWatch()
        self.backwards = 0
        self._seeded: list[str] = []
        self._forbidden = str(forbidden.resolve())
        # The core keeps what it computes for a plugin in its cache, and says there which processor computed it, for
        # which Python asks another program once.
        folders = Path(tempfile.gettempdir()), cache_folder()
        self._free = tuple(str(folder.resolve()) for folder in folders)
        _ = platform.uname().processor
        self._on = False
        sys.addaudithook(self._audit)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch a block."""
        before, drawn = _globals(), _random_states()
        self._on = True
        try:
            with replaced(self._replacements()):
                yield
        finally:
            self._on = False
            self.drew += self._seeded
            self.drew += [name for name, state in _random_states().items() if state != drawn[name]]
            after = _globals()
            self.changed += [name for name, value in before.items() if after.get(name) != value]

    def watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, watched whenever it runs."""

        @wraps(function)
        def watched(*args: Any) -> Any:
            with self.watching():
                return function(*args)

        return watched

    def forget_draws(self) -> None:
        """Forget what was drawn so far, but not what was seeded: libraries draw when they are first imported."""
        self.drew = list(dict.fromkeys(self._seeded))

    def tell(self, journal: Journal, scratch: Path) -> None:
        """Report on the rules whose breach it sees, but for draws, which come later."""
        left = [str(path) for folder in ("work", "home") for path in (scratch / folder).rglob("*")]
        written, changed = self.written or left, sorted(set(self.changed))
        journal.rule("globals", f"it changed {', '.join(changed[:3])}" if changed else None)
        journal.rule("files", f"it wrote {written[0]}" if written else None)
        journal.rule("alone", f"it called {self.outside[0]}" if self.outside else None)

    def tell_draws(self, journal: Journal) -> None:
        """Report on the global random generators."""
        journal.rule("random", f"it touched {self.drew[0]}" if self.drew else None)

    def _replacements(self) -> dict[tuple[Any, str], Callable[..., Any]]:
        """What Python's audit events do not show: seeding, native writers, and training by hand."""

        def seeding(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
            def seed(*args: Any, **kwargs: Any) -> Any:
                self._seeded.append(name)
                return original(*args, **kwargs)

            return seed

        def writing(original: Callable[..., Any]) -> Callable[..., Any]:
            def write(content: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
                if isinstance(target, str | os.PathLike):
                    self._touched(target, True)
                return original(content, target, *args, **kwargs)

            return write

        def backward(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            self.backwards += not self.loop.stepping
            return original_backward(tensor, *args, **kwargs)

        original_backward: Callable[..., Any] = torch.Tensor.backward
        seeds = ((torch, "manual_seed"), (random, "seed"), (np.random, "seed"))
        writers = ((torch, "save"), (safetensors.torch, "save_file"))
        patches: dict[tuple[Any, str], Callable[..., Any]] = {(torch.Tensor, "backward"): backward}
        patches |= {(owner, name): seeding(f"{owner.__name__}.{name}", getattr(owner, name)) for owner, name in seeds}
        return patches | {(owner, name): writing(getattr(owner, name)) for owner, name in writers}

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open" and isinstance(args[0], str | bytes | os.PathLike):
            path, mode, flags = args
            writes = bool(flags & _WRITING) if isinstance(flags, int) else any(c in str(mode) for c in "wax+")
            self._touched(path, writes)
        elif event in _WRITES:
            beside_a_folder = any(isinstance(arg, int) and arg > 2 for arg in args[1:])  # a path below an open folder
            for path in args:
                if isinstance(path, str | bytes | os.PathLike) and not beside_a_folder:
                    self._touched(path, True)
        elif event in ("os.listdir", "os.scandir") and isinstance(args[0], str | bytes | os.PathLike):
            self._touched(args[0], False)
        elif event in _OUTSIDE:
            self.outside.append(f"{event}({', '.join(map(repr, args[:2]))})"[:120])

    def _touched(self, path: Any, writes: bool) -> None:
        name = os.path.realpath(os.fsdecode(path))
        if writes:
            below = tuple(folder + os.sep for folder in self._free)
            if name not in self._free and not name.startswith((*below, "/proc/", "/dev/")):
                self.written.append(name)
        elif name.startswith(self._forbidden):
            self.read.append(name)


@contextmanager
def replaced(replacements: Mapping[tuple[Any, str], Callable[..., Any]]) -> Iterator[None]:
    """Other functions in the places of some, (owner, name) -> function, while a block runs."""
    originals = {(owner, name): getattr(owner, name) for owner, name in replacements}
    for (owner, name), replacement in replacements.items():
        setattr(owner, name, replacement)
    try:
        yield
    finally:
        for (owner, name), original in originals.items():
            setattr(owner, name, original)


def _random_states() -> dict[str, Any]:
    state = np.random.get_state()
    return {
        "Python's random": random.getstate(),
        "numpy.random": (state[0], state[1].tobytes(), *state[2:]),  # type: ignore[index]
        "torch's global generator": torch.get_rng_state().numpy().tobytes(),
    }


def _globals() -> dict[str, Any]:
    """What a process shares and a plugin could leave changed: name -> something that compares equal if it isn't."""
    state: dict[str, Any] = {
        "torch.get_default_dtype()": torch.get_default_dtype(),
        "torch.is_grad_enabled()": torch.is_grad_enabled(),
        "torch.get_num_threads()": torch.get_num_threads(),
        "torch.are_deterministic_algorithms_enabled()": torch.are_deterministic_algorithms_enabled(),
        "torch.is_anomaly_enabled()": torch.is_anomaly_enabled(),
        "torch.get_float32_matmul_precision()": torch.get_float32_matmul_precision(),
        "torch.get_default_device()": str(torch.get_default_device()),
        "torch.backends.cudnn.benchmark": torch.backends.cudnn.benchmark,
        "torch.backends.cuda.matmul.allow_tf32": torch.backends.cuda.matmul.allow_tf32,
        "torch.backends.mha.get_fastpath_enabled()": torch.backends.mha.get_fastpath_enabled(),
        "numpy.geterr()": np.geterr(),
        "the filters of warnings": ("ignore", None, Warning, None, 0) in warnings.filters[:1],
        "the root logger": (logging.root.level, len(logging.root.handlers)),
        "the threads of the process": sorted(t.name for t in threading.enumerate() if not t.daemon),
        "the handlers of signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "os.getcwd()": os.getcwd(),  # noqa: PTH109
        "sys.path": list(sys.path),
    }
    state |= {f"os.environ[{name!r}]": value for name, value in os.environ.items()}
    for name, module in list(sys.modules.items()):
        if name.startswith("salmu_core") or name in _PATCHABLE:
            state |= _functions(name, module)
    return state


_PATCHABLE = ("open_clip.model", "open_clip.transformer", "open_clip.factory", "torch.nn.functional")


def _functions(prefix: str, owner: ModuleType | type, depth: int = 1) -> dict[str, int]:
    """Functions of a module and of the classes it defines, by identity: a patch shows."""
    functions: dict[str, int] = {}
    for name, value in list(vars(owner).items()):
        if isinstance(value, FunctionType | property):
            functions[f"{prefix}.{name}"] = id(value)
        elif isinstance(value, type) and depth and value.__module__ == prefix:
            functions |= _functions(f"{prefix}.{name}", value, depth - 1)
    return functions
