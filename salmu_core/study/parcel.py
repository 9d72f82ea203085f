"""What a run's process leaves, and how it is taken: files in its scratch folder, of which nothing is believed.

Facts are JSON of a known shape, tensors are safetensors. Whether the weights are a result is found out again by the
process that takes them, against its own copy of what the run began with.
"""

from __future__ import annotations

import copy
import traceback
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from salmu_core.clip.weights import share_changed
from salmu_core.contract.layout import WEIGHTS
from salmu_core.disk.reading import read_json
from salmu_core.disk.record import Record
from salmu_core.disk.tensors import write_tensors
from salmu_core.errors import FileError, MachineError, SalmuError
from salmu_core.run.outcome import Outcome
from salmu_core.run.validity import judge, judge_state
from salmu_core.store.records import FitRecord, Ledger, Status
from salmu_core.store.schema import STATE

#: Written last.
FACTS = "facts.json"
#: Characters of a reason and of a traceback, and bytes of facts, at most.
REASON, TRACE, MOST = 20_000, 1_000_000, 256 << 20
#: Of a method's state, bytes at most, and as many times those of the model as it may have more.
STATE_BYTES, STATE_SIZES = 1 << 30, 16


class ParcelError(Exception):
    """What was left is no result: why, as the end of a sentence about the process."""


class Facts(Record):
    """An `Outcome` without its tensors, or that there is none."""

    failure: Annotated[str, Field(max_length=REASON)] = ""
    """Why there is none, though nothing is wrong with the method."""
    status: Status = "valid"
    reason: Annotated[str, Field(max_length=REASON)] = ""
    ledger: Ledger = Ledger()
    fits: tuple[FitRecord, ...] = ()
    scalars: dict[str, list[tuple[int, Annotated[float, Field(allow_inf_nan=False)]]]] = Field(default_factory=dict)
    traceback: Annotated[str, Field(max_length=TRACE)] | None = None
    micro_batch: Annotated[int, Field(ge=0)] = 0
    compiled: Annotated[str, Field(max_length=REASON)] = ""


def leave(folder: Path, outcome: Outcome) -> None:
    """Leave what came of a run.

    Args:
        folder: An empty one.

    Raises:
        OSError: There is no room for it.
    """
    if outcome.status == "valid":
        # Cloned: safetensors refuses tensors that share memory, and open_clip's towers may.
        tensors = {
            name: value.detach().cpu().contiguous().clone() for name, value in outcome.model.state_dict().items()
        }
        write_tensors(folder / WEIGHTS, tensors)
        if outcome.state:
            write_tensors(folder / STATE, outcome.state)
    facts = Facts(
        status=outcome.status,
        reason=_text(outcome.reason, REASON),
        ledger=outcome.ledger,
        fits=outcome.fits,
        scalars=outcome.scalars,
        traceback=None if outcome.traceback is None else _text(outcome.traceback, TRACE),
        micro_batch=outcome.micro_batch,
        compiled=outcome.compiled,
    )
    _write(folder, facts)


def leave_failure(folder: Path, error: Exception) -> None:
    """Leave word that the machine failed, or the benchmark can't be read."""
    text = str(error) if isinstance(error, SalmuError) else f"{type(error).__name__}: {error}"
    _write(folder, Facts(failure=_text(text, REASON)))


def leave_interrupt(folder: Path, error: KeyboardInterrupt) -> None:
    """Leave word that a method raised what stops a program."""
    reason, trace = f"KeyboardInterrupt: {error}".removesuffix(": "), "".join(traceback.format_exception(error))
    _write(folder, Facts(status="crashed", reason=_text(reason, REASON), traceback=_text(trace, TRACE)))


def _write(folder: Path, facts: Facts) -> None:
    (folder / "unfinished").write_text(facts.model_dump_json(), encoding="utf-8")
    (folder / "unfinished").replace(folder / FACTS)


def _text(text: str, most: int) -> str:
    """No more than so many characters, and none that no file can hold."""
    return text.encode("utf-8", "backslashreplace").decode()[:most]


def take(folder: Path, original: nn.Module) -> Outcome:
    """What came of a run, found out again.

    Args:
        folder: Where its process left it.
        original: What the run began with.

    Raises:
        ParcelError: Nothing was left, or nothing that can be a result.
        MachineError: There is no result, and the method is not to blame.
    """
    facts = _facts(folder)
    if facts.failure:
        raise MachineError(facts.failure)
    status, reason, changed = facts.status, facts.reason, 0.0
    model, state = copy.deepcopy(original), dict[str, Tensor]()
    if status in ("died", "not-begun"):
        raise ParcelError(f"left a result of status {status!r}, which is not its own to give")
    if status == "valid":
        before = model.state_dict()
        size = sum(value.numel() * value.element_size() for value in before.values())
        after = _tensors(folder / WEIGHTS, 2 * size + (1 << 20))
        status, reason = judge_state(after, before)
        if status == "valid":
            model.load_state_dict(after)
            status, reason = judge(model, original)
        if status == "valid":
            changed = share_changed(model, original)
            most = STATE_BYTES + STATE_SIZES * size
            state = _tensors(folder / STATE, most) if (folder / STATE).exists() else {}
    else:
        changed = min(1.0, max(0.0, facts.ledger.weights_changed))
    return Outcome(
        model=model,
        status=status,
        reason=reason,
        ledger=facts.ledger.model_copy(update={"weights_changed": changed}),
        fits=facts.fits,
        scalars=facts.scalars,
        traceback=facts.traceback,
        micro_batch=facts.micro_batch,
        compiled=facts.compiled,
        state=state,
    )


def _facts(folder: Path) -> Facts:
    path = _plain(folder / FACTS, MOST)
    try:
        return Facts.model_validate(read_json(path, limit=MOST))
    except (ValidationError, FileError) as error:
        why = error.reason if isinstance(error, FileError) else str(error)[:500]
        raise ParcelError(f"left facts that are none: {why}") from None


def _tensors(path: Path, most: int) -> dict[str, Tensor]:
    try:
        return load_file(_plain(path, most))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ParcelError(f"left no tensors in {path.name}: {str(error)[:500]}") from None


def _plain(path: Path, most: int) -> Path:
    """A path at which a file of its own lies, not too large: a link could name what the process itself can't read."""
    try:
        found = path.lstat()
    except OSError:
        raise ParcelError("left no result") from None
    if (
        path.is_symlink()
        or path.parent.is_symlink()
        or not path.is_file()
        or found.st_nlink > 1
        or found.st_size > most
    ):
        raise ParcelError(f"left something else than a file of at most {most:,} bytes as {path.name}")
    return path
