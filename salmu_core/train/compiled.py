"""Towers compiled while they are trained: small steps on a card wait for launches, which CUDA graphs make at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from salmu_core.contract.progress import untold
from salmu_core.train.pieces import out_of_memory
from salmu_core.train.settings import Compile

#: Where compiling pays of itself. At 16 + 16 pairs of a ViT-B/16 a step took 90 ms, and 41 ms as CUDA graphs, which
#: took 44 s to make: some 900 steps' gain. At 64 + 64 pairs an H100 waited for less than half of the time.
#: (docs/data/device)
FEW_PAIRS, MANY_STEPS = 32, 1000
#: What makes the code, by its name in the module of whatever it raises or calls.
_COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch")


class Compiler:
    """Compiles the towers of one model after another; where that fails, it says so once and they run as they are.

    Args:
        wish: Whether to: ``auto`` for where it pays.
        say: Told what fails.

    Attributes:
        wish: As it was given.
        used: How towers were compiled since somebody emptied this; empty if they were not.
    """

    def __init__(self, wish: Compile = "off", say: Callable[[str], None] = untold) -> None:
        self.used = ""
        self.wish, self._say = wish, say
        self._failed = False
        self._towers: list[Any] = []

    @contextmanager
    def towers(self, model: nn.Module, pairs: int, steps: int, whole: bool = True) -> Iterator[None]:
        """A block in which the towers of a model are compiled, if that is wished for.

        Args:
            model: open_clip's; a copy that is made of it in the block is not compiled.
            pairs: Of each set, in a step.
            steps: How many at most.
            whole: Whether batches are encoded whole; in pieces, work is large enough to hide its launches.
        """
        card = _on_card(model)
        pays = card and whole and pairs <= FEW_PAIRS and steps >= MANY_STEPS
        if not self._failed and (self.wish == "on" or (self.wish == "auto" and pays)):
            self._compile(model, graphs=card and whole)
        try:
            yield
        finally:
            self._leave()

    def begin(self) -> None:
        """To be called before each step: what graphs gave in the last one may be written over from here on."""
        if self._towers:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]

    def gave_up(self, error: Exception) -> bool:
        """Whether towers are as they are again because of an error, so that the step can be tried once more."""
        memory = out_of_memory(error)
        if not self._towers or (memory and self.used == "inductor") or not (memory or _of_compiler(error)):
            return False
        self._leave()
        if not memory:  # graphs hold some of their own; what has no room for them may have compiled towers elsewhere
            self._failed = True
        cause = getattr(error, "inner_exception", error)
        why = "memory runs out" if memory else f"{type(cause).__name__}: {(str(cause).splitlines() or [''])[0][:200]}"
        self._say(f"torch.compile is given up, and towers run as they are: {why}")
        self.used += ", given up"
        return True

    def _compile(self, model: Any, graphs: bool) -> None:
        self.used = "CUDA graphs" if graphs else "inductor"
        # Random numbers, of a dropout, stay the ones they are without.
        options: dict[str, Any] = {"fallback_random": True} | ({"triton.cudagraphs": True} if graphs else {})
        towers = getattr(model, "visual", None), getattr(getattr(model, "text", model), "transformer", None)
        for tower in (tower for tower in towers if isinstance(tower, nn.Module)):
            tower.compile(dynamic=False if graphs else None, options=options)
            if graphs:
                tower._compiled_call_impl = _kept(tower._compiled_call_impl)
            self._towers.append(tower)

    def _leave(self) -> None:
        for tower in self._towers:
            tower._compiled_call_impl = None
        self._towers = []


def _on_card(model: nn.Module) -> bool:
    return next(model.parameters()).is_cuda


def _kept(call: Any) -> Callable[..., Any]:
    """A function whose tensors nobody writes over: those of a graph are its own, and last for a step."""

    def copied(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.clone()
        return tuple(map(copied, value)) if isinstance(value, tuple) else value

    return lambda *args, **kwargs: copied(call(*args, **kwargs))


def _of_compiler(error: BaseException) -> bool:
    """Whether an error went through torch's compiler, or through what it made."""
    if type(error).__module__.startswith(_COMPILERS):
        return True
    frame = error.__traceback__
    while frame is not None:
        if str(frame.tb_frame.f_globals.get("__name__", "")).startswith(_COMPILERS):
            return True
        frame = frame.tb_next
    return False
