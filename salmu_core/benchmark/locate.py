"""Where the benchmark of a name lies, or will. Importing this costs nothing, so listings stay quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.machine import cache_folder
from salmu_core.plugins.allowed import left_out
from salmu_core.plugins.shelves import Declared, Zoo

if TYPE_CHECKING:
    from salmu_core.contract.specs import BenchmarkSpec


def locate(name: str, zoo: Zoo) -> tuple[Declared[BenchmarkSpec], int, Path] | None:
    """The declaration, world and cache folder that ``mini`` or ``mini@3`` stands for; None for a path.

    Raises:
        UnknownNameError: It is neither an installed benchmark nor an existing folder.
        UsageError: The world is no number, or one of a release, which has none.
    """
    if "/" in name or name.startswith((".", "~")) or (Path(name).is_dir() and name not in zoo.benchmarks):
        return None
    base, at, world = name.partition("@")
    if base not in zoo.benchmarks:
        hint = f"A folder in the released layout will do too: give its path.{left_out()}"
        raise UnknownNameError("benchmark", name, zoo.benchmarks, hint)
    if at and not world.isdecimal():
        raise UsageError(f"The world in {name!r} must be a whole number, as in '{base}@3'.")
    number = int(world) if at else 0
    declared = zoo.benchmarks[base]
    if declared.facts["release"] is not None and number:
        raise UsageError(f"{base} is a published release, of one world only: there is no {name!r}. Say {base!r}.")
    return declared, number, cache_folder() / base / declared.facts["version"] / f"world-{number}"
