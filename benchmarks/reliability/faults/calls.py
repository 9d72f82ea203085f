"""System calls of a process and of those forked from it: heard, counted over all of them, and made to fail.

They are caught where Python makes them, which needs no permission and costs next to nothing. What safetensors and
pyarrow write themselves counts as one write. `traced.py` has the kernel fail them instead.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import functools
import io
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

#: Calls that take a descriptor: their errors name no file.
ON_DESCRIPTORS = frozenset({"write", "fsync", "flock", "truncate"})
#: What each call may fail with.
ERRORS = {
    "write": (errno.ENOSPC, errno.EIO),
    "fsync": (errno.EIO, errno.ENOSPC),
    "open": (errno.EMFILE, errno.EACCES, errno.ENOSPC),
    "rename": (errno.ENOSPC, errno.EIO, errno.EACCES),
    "mkdir": (errno.ENOSPC, errno.EACCES),
    "flock": (errno.ENOLCK, errno.EIO),
    "unlink": (errno.EIO, errno.EACCES),
    "chmod": (errno.EPERM,),
    "truncate": (errno.ENOSPC,),
}


class Call(NamedTuple):
    """One call.

    Attributes:
        name: A key of `ERRORS`.
        path: The file it is about; of a rename, what is to be replaced.
        done: Whether it has succeeded; each call is heard before and after.
    """

    name: str
    path: str
    done: bool


Heard = Callable[[Call], None]


class Watch:
    """Has calls about files of a folder heard, from `install` on, here and in every process forked later.

    Args:
        root: The folder.
        heard: Is told of each call, before it and after; an exception of it is the call's.
    """

    def __init__(self, root: Path, heard: Heard) -> None:
        self._root = root.resolve()
        self._heard = heard
        self._busy = False

    def install(self) -> None:
        """Take the place of what makes the calls, for the rest of this process."""
        import pyarrow.parquet
        import safetensors.torch

        from salmu_core.disk import files

        self._replace(os, "rename", "rename", place=1)
        self._replace(os, "replace", "rename", place=1)
        for name, call in (("unlink", "unlink"), ("remove", "unlink"), ("rmdir", "unlink"), ("mkdir", "mkdir")):
            self._replace(os, name, call)
        for name, call in (("open", "open"), ("chmod", "chmod"), ("truncate", "truncate")):
            self._replace(os, name, call)
        for name, call in (("write", "write"), ("fsync", "fsync"), ("fdatasync", "fsync"), ("ftruncate", "truncate")):
            self._replace(os, name, call)
        self._replace(os, "fchmod", "chmod")
        self._replace(fcntl, "flock", "flock")
        self._replace(safetensors.torch, "serialize_file", "write", place=1)
        self._replace(pyarrow.parquet, "write_table", "write", place=1)
        self._replace(files, "_exchanged", "rename", place=1)
        builtins.open = io.open = functools.partial(_open, self, io.open)  # type: ignore[assignment]

    def _replace(self, module: Any, attribute: str, call: str, place: int = 0) -> None:
        make = getattr(module, attribute)

        @functools.wraps(make)
        def made(*args: Any, **kwargs: Any) -> Any:
            with self.call(call, args[place] if len(args) > place else None, kwargs.get("dir_fd")):
                return make(*args, **kwargs)

        setattr(module, attribute, made)

    @contextmanager
    def call(self, name: str, about: Any, folder: int | None = None) -> Iterator[None]:
        """Make a call in this block."""
        path = None if self._busy else self.path(about, folder)
        if path is None:
            yield
            return
        self._tell(Call(name, path, False))
        yield
        self._tell(Call(name, path, True))

    def _tell(self, call: Call) -> None:
        self._busy = True
        try:
            self._heard(call)
        finally:
            self._busy = False

    def path(self, about: Any, folder: int | None = None) -> str | None:
        """The file that a call is about, by path or by descriptor; None of one elsewhere."""
        try:
            if isinstance(about, int):
                path = _opened(about)
            else:
                path = _opened(folder) / os.fsdecode(about) if folder is not None else Path(os.fsdecode(about))
        except (OSError, TypeError):
            return None
        path = path.absolute()
        return str(path) if path.is_relative_to(self._root) else None


def _opened(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


class _File(io.FileIO):
    """A file whose writes are heard."""

    watch: Watch

    def write(self, data: Any) -> Any:
        with self.watch.call("write", self.fileno()):
            return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        with self.watch.call("truncate", self.fileno()):
            return super().truncate(size)


def _open(
    watch: Watch,
    make: Callable[..., Any],
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """`open`, of files that are written heard at every write."""
    if watch.path(file) is None:
        return make(file, mode, buffering, encoding, errors, newline, closefd, opener)
    with watch.call("open", None if isinstance(file, int) or opener else file):
        if not set(mode) & set("wax+"):
            return make(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = _File(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        raw.watch = watch
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        text = io.TextIOWrapper(buffered, encoding, errors, newline)
        text.mode = mode  # type: ignore[misc]
        return text


class Nth:
    """Acts at the n-th call of some names, counted over every process that hears it, and at no other.

    A pipe counts: each call takes a token out of it. That takes no lock that a killed process could keep.

    Args:
        names: Keys of `ERRORS`.
        number: From 1; an attribute, too.
        act: Is told of the call.
        after: Whether once it has succeeded, rather than before.
    """

    def __init__(self, names: Collection[str], number: int, act: Heard, after: bool = False) -> None:
        self.number = number
        self._names = frozenset(names)
        self._act = act
        self._after = after
        self._tokens, filling = os.pipe()
        os.set_blocking(self._tokens, False)
        os.write(filling, b"." * (number - 1) + b"!")
        os.close(filling)

    def __call__(self, call: Call) -> None:
        if call.name in self._names and call.done == self._after:
            try:
                token = os.read(self._tokens, 1)
            except OSError:  # a process that lets go of what it inherited
                return
            if token == b"!":
                self._act(call)

    def close(self) -> None:
        """Let go of the pipe, in the process that made it."""
        os.close(self._tokens)


class Log:
    """Writes down every call, whichever process makes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def __call__(self, call: Call) -> None:
        with suppress(OSError):  # of a process that lets go of what it inherited
            os.write(self._log, f"{call.name}\t{call.done:d}\t{call.path}\n".encode())

    def calls(self) -> list[Call]:
        """All of them, in their order."""
        lines = (line.split("\t", 2) for line in self._path.read_text(encoding="utf-8").splitlines())
        return [Call(name, path, done == "1") for name, done, path in lines]


def failing(code: int) -> Heard:
    """Fails a call as the kernel would, with an error number."""

    def fail(call: Call) -> None:
        where = () if call.name in ON_DESCRIPTORS else (call.path,)
        raise OSError(code, os.strerror(code), *where)

    return fail
