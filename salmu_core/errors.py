"""Every exception SALMU raises on purpose. Messages are written for people: what, where, what to do.

Of each class, the first paragraph says when it is raised and the second one what to do; docs/errors.md is made of them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import ValidationError

#: Exit code of a command that somebody stopped, as a shell counts Ctrl-C.
STOPPED = 130


class SalmuError(Exception):
    """Base of everything SALMU raises on purpose; the command line prints it and exits with 1.

    Do what the message says; `SALMU_DEBUG=1` shows where it comes from.
    """

    exit_code = 1


class UsageError(SalmuError):
    """The request itself is wrong: nothing was started or written; the command line exits with 2.

    Change the words of the command, the study file or the environment variable that the message names.
    """

    exit_code = 2


#: Names an error lists at most.
_LISTED = 20


class MachineError(SalmuError):
    """The machine failed, not the work: no memory or room, a missing library, a card that fell over, anything unknown.

    Nothing is kept of what it ended: make room, free memory or install what is missing, and give the same command
    again.
    """


class UnknownNameError(UsageError):
    """A name nobody declares; the message lists what comes near.

    Correct the name, or install what declares it: `salmu plugins`, `methods`, `metrics`, `attacks` and `benchmarks`
    list what is installed.
    """

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
    """What is wrong with a plugin; its cause is what it raised, if it did. It becomes a row of `salmu plugins`.

    Mend the plugin or uninstall it; `SALMU_DEBUG=1 salmu plugins` shows its traceback. Others are used without it.
    """


class FileError(SalmuError):
    """A file can't be read, or is not what it should be.

    Put back the file that the message names, or delete it where SALMU wrote it: the same command writes it again.

    Attributes:
        reason: Why, as half a sentence.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} can't be read: {reason.rstrip('.')}.")
        self.path, self.reason = path, reason


class MissingFileError(FileError):
    """A file is not there.

    Put it where the message says it should be.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "it is missing")
        self.args = (f"{path} is missing.",)


class BenchmarkError(SalmuError):
    """A benchmark folder is missing, damaged or not in the released layout.

    `salmu doctor --benchmark NAME` says what is off and builds what can be built; fetch or copy the others again.
    """


class PictureError(BenchmarkError):
    """An encoded picture can't be decoded, or not without guessing.

    Write that picture again as PNG, JPEG or WebP, of 8 or 16 bits a channel; or take its row out of the benchmark.
    """


class CheckpointError(SalmuError):
    """A model can't be read, or a written one doesn't match its record.

    Of a run, give the same command again; of another model, fetch or write it again.
    `salmu canary MODEL` says whether it still computes what it did.
    """


class StoreError(SalmuError):
    """A run folder is damaged or belongs to something else.

    `salmu run` makes what is damaged again; for other data, choose another `--output`.
    """


class SchemaError(SalmuError):
    """A record of another release, which this one must neither read nor overwrite.

    Move that results folder elsewhere or give another `--output`; or install the release that wrote it.
    """


class MethodError(SalmuError):
    """A method asked its context for something it may not have, or that makes no sense.

    Mend the method or its settings as the message says; its run is made again once its code has changed, or by
    `--redo`.
    """


class MetricError(SalmuError):
    """A metric asked for something it did not declare, or returned something else than it declared.

    Mend the metric; it is computed again once its code has changed, or by `--redo`.
    """


class AttackError(SalmuError):
    """An attack asked for something it was not given, or returned something else than it should.

    Mend the attack or its settings; it is made again once its code has changed, or by `--redo`.
    """


class NotGivenError(AttackError, AttributeError):
    """An attack asked its context for something that attacks of its kind never have.

    Declare it in `given` where that is possible, or do without.
    """


class NotMeasuredError(SalmuError):
    """What a metric or an attack needs is no part of this benchmark: it has no value, and nothing has gone wrong.

    Nothing need be done; add to the benchmark what is missing, and the same command computes it.
    """


class BudgetExceededError(SalmuError):
    """A method drew more samples than its budget allows.

    Raise `--budget`, or let the method draw less.
    """


def explain(error: ValidationError, known: Iterable[str]) -> str:
    """The first thing pydantic found wrong, in a sentence, with a near name for an unknown field.

    Args:
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
    if first["type"] in ("list_type", "tuple_type", "set_type"):
        message = "it should be a list, as in [1, 2]"
    said = f"{message[0].lower()}{message[1:]}".rstrip(".")
    given = str(first["input"]).lower() if isinstance(first["input"], bool) else repr(first["input"])
    return f"{said}." if not first["loc"] else f"{where} = {given}: {said}."


#: What a mistake in a plugin's own code raises.
_MISTAKES = (
    *(ArithmeticError, AssertionError, AttributeError, BufferError, LookupError, NameError, RuntimeError),
    *(StopIteration, StopAsyncIteration, SyntaxError, TypeError, ValueError, Warning, SystemExit, GeneratorExit),
    *(MethodError, MetricError, AttackError, NotMeasuredError, BudgetExceededError, PluginError, UsageError),
)
#: Of those, what libraries nevertheless raise of themselves, by class and by its words: torch has one class for all.
_FAILURES = r"OutOfMemoryError|AcceleratorError|Broken\w*(Executor|Pool)|BackendCompilerFailed|Inductor\w*"
_FAILED = (
    r"(?i)out of memory|can't allocate memory|not enough memory|bad_alloc|ALLOC_FAILED"
    r"|could not (create|execute) a (primitive|memory)"
    r"|\b(CUDA|HIP|MPS|XPU|cuDNN|NCCL|cusolver|cuFFT|NVRTC|Triton)( driver| Frontend| backend)? error"
    r"|\b(CUDNN|CUBLAS|CUSOLVER|CUSPARSE|CUFFT|HIPBLAS|MIOPEN)_(STATUS_)?[A-Z_]+|INTERNAL ASSERT FAILED"
    r"|Unexpected error from cuda|No CUDA GPUs|no NVIDIA driver|can't start new thread|C\+\+ compiler|C compiler"
    r"|DataLoader worker \(pid|iostream error|Pytorch\w+ failed|enforce fail at (inline_container|alloc_cpu)"
    r"|unable to (open|write|mmap|resize|stat|allocate)|No space left|Cannot allocate memory|Too many open files"
    r"|Input/output error|Disk quota exceeded|temporarily unavailable"
)
#: Characters of an exception's text that are kept.
_KEPT = 2000


def verdict(error: BaseException, module: str = "") -> str:
    """What was raised in a plugin's code, as a sentence about the plugin, to be kept.

    Args:
        module: The plugin's: what its own package raises of itself is about it, of whatever class.

    Raises:
        KeyboardInterrupt: Somebody stopped the work.
        MachineError: It says nothing of the plugin: the machine failed, or nobody knows what did.
    """
    if isinstance(error, KeyboardInterrupt | MachineError):
        raise error
    if is_machines(error, module):
        raise MachineError(described(error)) from error
    return described(error)


def is_machines(error: BaseException, module: str = "") -> bool:
    """Whether an exception, or what it was raised for, says nothing of the code of a plugin's module."""
    package = module.partition(":")[0].partition(".")[0]
    return any(_is_machines(one, package) for one in _chain(error))


def described(error: BaseException) -> str:
    """An exception in a sentence, whatever its own words are."""
    try:
        text = str(error)
    except BaseException as other:  # its class is a plugin's
        text = f"(its text can't be had: {type(other).__name__})"
    if len(text) > _KEPT:
        text = f"{text[:_KEPT]}... ({len(text)} characters)"
    return text if isinstance(error, SalmuError) else f"{type(error).__name__}: {text}".removesuffix(": ")


def _is_machines(error: BaseException, package: str) -> bool:
    """Whether one exception, for itself, says nothing of the plugin in whose code it was raised."""
    kinds = type(error).__mro__
    if any(kind.__module__.partition(".")[0] == package for kind in kinds):
        return False
    if isinstance(error, OSError | MemoryError | ImportError) or any(
        re.fullmatch(_FAILURES, k.__name__) for k in kinds
    ):
        return True
    if isinstance(error, RuntimeError):
        return bool(re.search(_FAILED, described(error)))
    return not isinstance(error, _MISTAKES) and not (type(error) is Exception and _raised_in(error, package))


def _raised_in(error: BaseException, package: str) -> bool:
    """Whether the code of a package, and none that it called, raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] == package


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, those in its group, and those that it was raised for: as a traceback shows them."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        else:
            yield one
        before = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        waiting += [before] if before is not None else []
