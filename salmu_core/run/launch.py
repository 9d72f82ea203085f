"""What the environment says of processes that were started together: input like any other, so it is checked."""

from __future__ import annotations

import os

from salmu_core.errors import UsageError

#: Whole numbers a launcher gives each process, and sizes that MPI's give, which accelerate would take up.
_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_MPI = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
#: What accelerate would do to models in ways of its own.
_STRANGE = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP", "ACCELERATE_USE_MEGATRON_LM")
_FLAGS = {"": False} | dict.fromkeys(("0", "f", "false", "n", "no", "off"), False)
_FLAGS |= dict.fromkeys(("1", "t", "true", "y", "yes", "on"), True)
_REMEDY = "unset it, or start with `accelerate launch -m salmu_core ...`, which sets all of them"


def place() -> tuple[int, int]:
    """Which process this is, and of how many: under a launcher such as ``accelerate launch``, else ``(0, 1)``.

    Raises:
        UsageError: A variable is set and makes no sense, or not together with the others.
    """
    numbers = {name: _number(name, os.environ[name]) for name in _NUMBERS if name in os.environ}
    rank, world = numbers.get("RANK", 0), numbers.get("WORLD_SIZE", 1)
    together = world > 1 or numbers.get("LOCAL_RANK", -1) >= 0
    needed = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    if together and (absent := [name for name in needed if not os.environ.get(name)]):
        given = next(name for name in ("WORLD_SIZE", "LOCAL_RANK") if name in numbers)
        raise UsageError(f"The environment variable {given} is set, and {absent[0]} is not: {_REMEDY}.")
    if not 0 <= rank < world:
        raise UsageError(f"The environment variable RANK is {rank}, and WORLD_SIZE {world}: {_REMEDY}.")
    for name in _MPI:
        if world == 1 and name in os.environ and _number(name, os.environ[name]) > 1:
            raise UsageError(f"The environment variable {name} is {os.environ[name]}, as MPI sets it: {_REMEDY}.")
    return rank, world


def check_flags() -> None:
    """Find switches of accelerate that are set to no use.

    Raises:
        UsageError: One is no yes or no, or asks for a library that trains models in its own way.
    """
    for name in (*_STRANGE, "ACCELERATE_USE_CPU"):
        text = os.environ.get(name, "")
        if text.lower() not in _FLAGS:
            raise UsageError(f"The environment variable {name} is {text!r}, neither true nor false: unset it.")
        if name in _STRANGE and _FLAGS[text.lower()]:
            raise UsageError(
                f"The environment variable {name} is set: models are unlearned in one process each, without what it "
                "stands for. Unset it, or take it out of accelerate's configuration."
            )


def variables() -> str:
    """Names of all that are set and that accelerate may look at, for a message."""
    begin = ("ACCELERATE_", "RANK", "WORLD_", "LOCAL_", "MASTER_", "PMI_", "OMPI_", "MV2_", "FSDP_", "DEEPSPEED_")
    return ", ".join(sorted(name for name in os.environ if name.startswith(begin))) or "none"


def _number(name: str, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 8):
        raise UsageError(f"The environment variable {name} is {text!r}, and should be a whole number: {_REMEDY}.")
    return int(text)
