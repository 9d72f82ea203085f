"""What functions carry from call to call: hashed, so that it shows whether there is anything.

A loss may keep a list, a counter or a bank of features in what it closes over, in its defaults, in an object that it is
a method of, or in a global of its module. None of that is in a file when a run is interrupted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

_ATOMS = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
#: What draws and counts for a run; its content is no method's.
_RUN = ("salmu_core.run", "salmu_core.contract.steps")
_WRAPPING = "salmu_core.contract.wrapping"


class UnseenError(Exception):
    """Something is held whose content can't be looked at, such as a generator."""


def carried(functions: Sequence[Callable[..., Any] | None], known: Mapping[int, str], exact: bool = True) -> str:
    """SHA-256 of all that functions can reach: what they close over, and what they name of their modules' globals.

    Args:
        functions: The functions; globals of their own top-level packages are looked into, and of no others.
        known: By ids, objects, and by addresses, memory of tensors, that are somebody else's to keep.
        exact: Whether what tensors hold counts, and not only their types and shapes.

    Raises:
        UnseenError: Something can't be looked at.
    """
    return _Walk(known, exact, set(map(_package, functions))).of(tuple(functions)).hex()


class _Walk:
    """One look at something, each part of it once."""

    def __init__(self, known: Mapping[int, str], exact: bool, home: set[str]) -> None:
        self._known, self._exact, self._home = known, exact, home
        self._met: dict[int, tuple[object, bytes]] = {}

    def of(self, value: object) -> bytes:
        """The hash of a value."""
        if type(value) in _ATOMS:
            return _hash([f"{type(value).__name__} {value!r}".encode()])
        if (name := self._known.get(id(value))) is not None:
            return _hash([name.encode()])
        if id(value) not in self._met:
            self._met[id(value)] = value, b"itself"  # where it is met inside of itself
            try:
                self._met[id(value)] = value, _hash(self._parts(value))
            except UnseenError:
                raise
            except Exception as error:  # each kind of object has its own for what it can't do
                raise UnseenError(f"a {type(value).__name__}") from error
        return self._met[id(value)][1]

    def _parts(self, value: Any) -> Iterator[bytes]:
        yield type(value).__name__.encode()
        if isinstance(value, Tensor):
            yield from self._tensor(value)
        elif isinstance(value, Generator):
            yield self.of(value.get_state())
        elif type(value) is np.ndarray and value.dtype != object:
            yield from (f"{value.dtype} {value.shape}".encode(), value.tobytes())
        elif isinstance(value, FunctionType):
            yield from self._function(value)
        elif isinstance(value, MethodType):
            yield from map(self.of, (value.__func__, value.__self__))
        elif isinstance(value, type | ModuleType):
            yield f"{getattr(value, '__module__', '')} {getattr(value, '__qualname__', value.__name__)}".encode()
        elif isinstance(value, BuiltinFunctionType):
            yield value.__qualname__.encode()
            yield self.of(value.__self__)
        elif type(value) in (set, frozenset):
            yield from sorted(map(self.of, value))
        elif type(value) in (list, tuple):
            yield from map(self.of, value)
        elif type(value) is dict:
            yield from (part for pair in value.items() for part in map(self.of, pair))
        else:
            yield from self._object(value)

    def _tensor(self, value: Tensor) -> Iterator[bytes]:
        if (name := self._known.get(value.untyped_storage().data_ptr())) is not None:
            yield name.encode()
            return
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        if self._exact:
            content = value.detach().cpu().contiguous().flatten().view(torch.uint8)
            yield hashlib.sha256(content.numpy().data).digest()

    def _function(self, value: FunctionType) -> Iterator[bytes]:
        yield f"{value.__module__}.{value.__qualname__}".encode()
        named = value.__globals__
        if named.get("__name__") == _WRAPPING:  # another method's loss: its module's globals count too
            self._home.add(_package(value))
        cells = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]
        yield from map(self.of, (cells, value.__defaults__, value.__kwdefaults__, vars(value)))
        if str(named.get("__name__")).partition(".")[0] in self._home:
            yield self.of({name: named[name] for name in sorted(_names(value.__code__)) if name in named})

    def _object(self, value: Any) -> Iterator[bytes]:
        """Any other object, as it says itself what it is made of."""
        if type(value).__module__.startswith(_RUN):
            raise UnseenError(f"a {type(value).__name__}")
        called = [vars(kind)["__call__"] for kind in type(value).__mro__ if "__call__" in vars(kind)]
        yield self.of([call for call in called[:1] if isinstance(call, FunctionType)])
        made = value.__reduce_ex__(4)
        for number, part in enumerate(made if isinstance(made, tuple) else (made,)):
            yield self.of(list(part) if number in (3, 4) and part is not None else part)


def _package(function: object) -> str:
    """The top-level package that a function was written in."""
    while isinstance(function, partial):
        function = function.func
    module = getattr(function, "__module__", None) or type(function).__module__
    return str(module).partition(".")[0]


def _names(code: CodeType) -> set[str]:
    """Names that code, and what is defined in it, looks up elsewhere."""
    return set(code.co_names).union(*(_names(part) for part in code.co_consts if isinstance(part, CodeType)))


def _hash(parts: Iterator[bytes] | Sequence[bytes]) -> bytes:
    joined = hashlib.sha256()
    for part in parts:
        joined.update(len(part).to_bytes(8, "little"))
        joined.update(part)
    return joined.digest()
