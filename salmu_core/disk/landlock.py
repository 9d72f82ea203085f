"""Landlock: a process gives up files, signals and sockets for good, with all that it starts. Linux alone has it.

Nothing but the kernel is needed for it, no library and no rights: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import platform
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

#: System calls, by the same numbers on every architecture; operations of prctl.
_CREATE, _ADD, _RESTRICT = 444, 445, 446
NO_NEW_PRIVILEGES, SUBREAPER, DEATH_SIGNAL = 38, 36, 1
_VERSION, _BENEATH = 1, 1
#: What may be done to files, as bits: that of a file comes with a rule on one, that of a folder only with one on it.
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE, _DEVICE = (1 << bit for bit in (0, 1, 2, 3, 14, 15))
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _DEVICE
#: Number of those bits that a version of Landlock knows.
_BITS = {1: 13, 2: 14, 3: 15, 4: 15}
#: Abstract sockets of, and signals to, processes outside.
_SCOPES, _SCOPED_FROM = 0b11, 6
#: What every process may write to: it is nobody's, or a card's.
_COMMON = ("null", "zero", "full", "random", "urandom", "tty", "shm", "nvidia*", "kfd", "dri", "accel")


@cache
def version() -> int:
    """Landlock's, as the kernel has it; 0 where there is none."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64", "riscv64", "ppc64le", "s390x"):
        return 0
    try:
        return max(0, _call(_CREATE, None, 0, _VERSION))
    except OSError:
        return 0


def confine(readable: Iterable[Path], writable: Iterable[Path]) -> None:
    """Give up, in this process and for good, all files but some; what is open stays open, and listings may be made.

    Args:
        readable: Files and folders that may be read, with all in them; those that can't be opened are left out.
        writable: Those where everything may be done.

    Raises:
        OSError: The kernel refuses.
    """
    known = (1 << _BITS.get(version(), 16)) - 1
    scopes = _SCOPES if version() >= _SCOPED_FROM else 0
    attributes = (ctypes.c_uint64 * 3)(known, 0, scopes)
    size = 24 if version() >= _SCOPED_FROM else 16 if version() >= 4 else 8
    rules = _call(_CREATE, ctypes.byref(attributes), size, 0)
    try:
        _allow(rules, Path("/"), _LIST & known)
        common = (path for name in _COMMON for path in Path("/dev").glob(name))
        for rights, paths in ((_READ | _LIST | _EXECUTE, readable), (known, (*writable, *common, Path("/proc/self")))):
            for path in paths:
                _allow(rules, path, rights & known)
        prctl(NO_NEW_PRIVILEGES, 1)
        _call(_RESTRICT, rules, 0)
    finally:
        os.close(rules)


def all_but(hidden: Iterable[Path]) -> Iterator[Path]:
    """Files and folders that together are everything, as it lies now, but what is hidden.

    Args:
        hidden: Files and folders; links in their paths are followed.
    """
    ends = {path.resolve() for path in hidden}
    ways = {parent for end in ends for parent in end.parents}
    for way in ways - ends:
        if not ends.isdisjoint(way.parents):
            continue
        with suppress(OSError), os.scandir(way) as entries:
            # What a link leads to lies elsewhere, and is found there.
            others = [Path(entry.path) for entry in entries if not entry.is_symlink()]
            yield from (path for path in others if path not in ways and path not in ends)


def prctl(operation: int, value: int) -> None:
    """Have the kernel change something of this process, where it is Linux.

    Raises:
        OSError: It refuses.
    """
    if sys.platform != "linux":
        return
    if _libc().prctl(operation, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({operation}) failed")


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        of_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        rule = (rights if of_folder else rights & _OF_FILES).to_bytes(8, "little") + descriptor.to_bytes(4, "little")
        _call(_ADD, rules, _BENEATH, rule, 0)
    finally:
        os.close(descriptor)


def _call(number: int, *words: object) -> int:
    found = _libc().syscall(ctypes.c_long(number), *words)
    if found < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return int(found)
