"""Every exception SALMU raises on purpose. Messages are written for people: what, where, what to do."""

import difflib
from collections.abc import Iterable


class SalmuError(Exception):
    """Base of everything SALMU raises on purpose; the command line prints it and exits with 1."""

    exit_code = 1


class UsageError(SalmuError):
    """The request itself is wrong: nothing was started or written; the command line exits with 2."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name nobody declares; the message lists what comes near."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        if near:
            tail = f"Did you mean {' or '.join(repr(n) for n in near)}?"
        elif known:
            tail = f"Known: {', '.join(known)}."
        else:
            tail = "None is installed."
        super().__init__(" ".join(filter(None, [f"There is no {kind} {name!r}.", tail, hint])))


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


class BudgetExceededError(SalmuError):
    """A method drew more samples than its budget allows."""
