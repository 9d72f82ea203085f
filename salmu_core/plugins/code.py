"""The code of a plugin, found without importing it: what it hashes to, and whether it may have changed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution
from importlib.util import find_spec
from pathlib import Path

from salmu_core.disk.hashing import hash_file, hash_json, hash_text
from salmu_core.disk.stamps import Stamp


@cache
def code_hash(module: str, *others: str) -> str:
    """SHA-256 over the sources of a plugin's module or package, and of others if there are; none is imported."""
    if others:
        return hash_json([code_hash(module), *map(code_hash, others)])
    spec = _find(module.partition(":")[0])
    if spec is None or spec.origin is None:
        return hash_text(module)
    origin = Path(spec.origin)
    files = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
    return hash_json([[str(f.relative_to(origin.parent)), hash_file(f)] for f in files])


def _find(name: str) -> ModuleSpec | None:
    """Where a module comes from; `find_spec` would import the packages it is in."""
    first, *others = name.split(".")
    spec = find_spec(first)
    for part in others:
        if spec is not None:
            spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations or ())
    return spec


@dataclass(frozen=True)
class CodeState:
    """How the files lie that somebody's code is made of.

    Attributes:
        modules: Names of the top-level modules and packages.
        digest: Another one whenever a file is written, put in or taken away.
        settled: Whether all files are old enough for any later change to show in the digest.
    """

    modules: frozenset[str]
    digest: str
    settled: bool


def code_state(module: str, dist: Distribution | None = None) -> CodeState | None:
    """How the files of a module's top-level package lie, and of its distribution's other ones if that is given.

    Every file of a package counts, for it may be read when the package is imported; hidden ones are an editor's.

    Returns:
        None where that can't be known, as of a module in an archive, or behind a link to a folder.
    """
    now = time.time_ns()
    try:
        tops = _top_levels(module.partition(".")[0].partition(":")[0], dist)
        stamps = [(path, Stamp.of(Path(path))) for top in tops for path in _files(top)]
    except (ImportError, ValueError, OSError):
        return None
    settled = all(stamp.settled(now) for _, stamp in stamps)
    names = frozenset(Path(top).name.partition(".")[0] for top in tops)
    return CodeState(names, hash_json([[path, *stamp] for path, stamp in stamps]), settled) if stamps else None


def _top_levels(name: str, dist: Distribution | None) -> list[str]:
    """Paths of a top-level module or package, and of those that came with it.

    Raises:
        ImportError: There is no such module.
    """
    spec = find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"there is no module {name!r}")
    own = [*(spec.submodule_search_locations or [spec.origin or name])]
    others: list[str] = []
    if dist is not None:
        home, folder = Path(str(dist.locate_file(""))), Path(own[0]).parent
        others = _recorded(dist, home) if home == folder else _beside(folder)
    return sorted({*own, *others})


def _recorded(dist: Distribution, home: Path) -> list[str]:
    """What an ordinary installation has put into a folder, other than its metadata."""
    lines = (dist.read_text("RECORD") or "").splitlines()
    names = {line.partition(",")[0].partition("/")[0].strip('"') for line in lines}
    return [str(home / n) for n in names if n.isidentifier() or n.endswith(".py")]


def _beside(folder: Path) -> list[str]:
    """The modules and packages in a folder that an editable installation points at."""
    return [str(p) for p in folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()]


def _files(top: str) -> Iterator[str]:
    if not os.path.isdir(top):  # noqa: PTH112 - a thousand paths need not be objects
        yield top
    for folder, below, names in os.walk(top):
        below[:] = sorted(name for name in below if name != "__pycache__" and name[0] != ".")
        if any(os.path.islink(f"{folder}{os.sep}{name}") for name in below):  # noqa: PTH114 - as above
            raise OSError(f"{folder} has a link to a folder, which may lead anywhere")
        yield from (f"{folder}{os.sep}{name}" for name in sorted(names) if name[0] != ".")
