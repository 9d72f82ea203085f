"""Every exception SALMU raises on purpose. Messages are written for people: what, where, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import ValidationError

#: Exit code of a command that somebody stopped, as a shell counts Ctrl-C.
STOPPED = 130


class SalmuError(Exception):
    """Base of everything SALMU raises on purpose; the command line prints it and exits with 1."""

    exit_code = 1


class UsageError(SalmuError):
    """The request itself is wrong: nothing was started or written; the command line exits with 2."""

    exit_code = 2


#: Names an error lists at most.
_LISTED = 20


class UnknownNameError(UsageError):
    """A name nobody declares; the message lists what comes near."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        if near:
            tail = f"Did you mean {' or '.join(repr(n) for n in near)}?"
        elif known:
            more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
            tail = f"Known: {', '.join(known[:_LISTED])}{more}."
        else:
            tail = "None is installed."
        super().__init__(" ".join(filter(None, [f"There is no {kind} {name!r}.", tail, hint])))


class PluginError(Exception):
    """What is wrong with a plugin; its cause is what it raised, if it did. It becomes a row of `salmu plugins`."""


class FileError(SalmuError):
    """A file can't be read, or is not what it should be.

    Attributes:
        path: The file.
        reason: Why, as half a sentence.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} can't be read: {reason.rstrip('.')}.")
        self.path, self.reason = path, reason


class MissingFileError(FileError):
    """A file is not there."""


class BenchmarkError(SalmuError):
    """A benchmark folder is missing, damaged or not in the released layout."""


class CheckpointError(SalmuError):
    """A model can't be read, or a written one doesn't match its record."""


class StoreError(SalmuError):
    """A run folder is damaged or belongs to something else."""


class SchemaError(SalmuError):
    """A record of another release, which this one must neither read nor overwrite."""


class MethodError(SalmuError):
    """A method asked its context for something it may not have, or that makes no sense."""


class MetricError(SalmuError):
    """A metric asked for something it did not declare, or returned something else than it declared."""


class AttackError(SalmuError):
    """An attack asked for something it was not given, or returned something else than it should."""


class NotGivenError(AttackError, AttributeError):
    """An attack asked its context for something that attacks of its kind never have."""


class NotMeasuredError(SalmuError):
    """What a metric needs is no part of this benchmark: it has no value, and nothing has gone wrong."""


class BudgetExceededError(SalmuError):
    """A method drew more samples than its budget allows."""


def explain(error: ValidationError, known: Iterable[str]) -> str:
    """The first thing pydantic found wrong, in a sentence, with a near name for an unknown field.

    Args:
        error: What pydantic raised.
        known: Names of the model's fields.
    """
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the input"
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(where, known, n=1)
        return f"there is no {where!r}" + (f"; did you mean {near[0]!r}?" if near else ".")
    if first["type"] == "missing":
        return f"{where} is missing."
    message = first["msg"].removeprefix("Value error, ")
    hint = " Write lists as JSON: '[1, 2]'." if first["type"] in ("list_type", "tuple_type", "set_type") else ""
    said = f"{message[0].lower()}{message[1:]}".rstrip(".")
    return f"{said}.{hint}" if not first["loc"] else f"{where} = {first['input']!r}: {said}.{hint}"
