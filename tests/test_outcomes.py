"""What an exception says: something about the plugin, which is kept, or that the machine failed, which is not."""

import errno
import importlib
import io
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import save_file

from salmu_core.errors import BenchmarkError, MachineError, MetricError, described, verdict


class OwnError(Exception):
    pass


class OwnDiskError(OSError):
    pass


def raised(act):
    with pytest.raises(BaseException) as caught:
        act()
    return caught.value


def throws(error, cause=None):
    def act():
        raise error from cause

    return act


def while_handling(first, second):
    def act():
        try:
            raise first
        except Exception:
            raise second  # noqa: B904 - as a plugin may

    return act


#: Real ones, of real libraries, where this machine can have them.
MACHINES = {
    "torch's allocator": lambda: torch.empty(10**15),
    "numpy's": lambda: np.empty(10**16),
    "a full disk": lambda: Path("/dev/full").write_text("x"),
    "a full disk under torch": lambda: torch.save(torch.zeros(10**5), "/dev/full"),  # noqa: TID251
    "a full disk under safetensors": lambda: save_file({"a": torch.zeros(9)}, "/nowhere/at/all"),
    "an image that is none": lambda: Image.open(io.BytesIO(b"no image")),
    "a library that is not there": lambda: importlib.import_module("no_such_library"),
    "memory": throws(MemoryError()),
    "pyarrow's memory": throws(pa.ArrowMemoryError("malloc of size 64 failed")),
    "a card without memory": throws(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")),
    "a card that fell over": throws(RuntimeError("CUDA error: an illegal memory access was encountered")),
    "its libraries": throws(RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR")),
    "others of its libraries": throws(RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublas`")),
    "threads": throws(RuntimeError("can't start new thread")),
    "a library's own assertion": throws(RuntimeError('x == y INTERNAL ASSERT FAILED at "a.cpp":3')),
    "no descriptors": throws(OSError(errno.EMFILE, "Too many open files")),
    "Python itself": throws(SystemError("error return without exception set")),
    "nobody knows": throws(SafetensorError("Error while serializing: IoError")),
    "data": throws(BenchmarkError("a shard is gone")),
    "behind a mistake": throws(ValueError("no embeddings"), MemoryError()),
    "in the middle of a mistake": while_handling(OSError(errno.EIO, "Input/output error"), KeyError("row")),
    "in a group": throws(ExceptionGroup("several", [ValueError("a"), MemoryError()])),
}
MISTAKES = {
    "shapes": lambda: torch.zeros(2, 3) @ torch.zeros(2, 3),
    "an index": lambda: torch.zeros(3)[5],
    "no gradient": lambda: torch.zeros(1).backward(),
    "linear algebra": lambda: torch.linalg.cholesky(-torch.eye(3)),
    "numpy's linear algebra": lambda: np.linalg.inv(np.zeros((2, 2))),
    "devices": throws(RuntimeError("Expected all tensors to be on the same device, found cuda:0 and cpu!")),
    "a key": lambda: {}["x"],
    "a name": lambda: no_such_name,  # noqa: F821
    "division": lambda: 1 // 0,
    "a promise": throws(AssertionError()),
    "depth": lambda: (f := lambda: f())(),
    "its own": throws(OwnError("no convergence")),
    "its own of a disk": throws(OwnDiskError("no convergence")),
    "any": throws(Exception("no convergence")),
    "its exit": lambda: sys.exit(3),
    "what it returned": throws(MetricError("metric x returned a dict")),
    "two": while_handling(KeyError("a"), ValueError("b")),
    "a group": throws(ExceptionGroup("several", [ValueError("a"), TypeError("b")])),
}


@pytest.mark.parametrize("what", MACHINES)
def test_what_says_nothing_of_the_plugin_is_no_verdict(what):
    error = raised(MACHINES[what])
    with pytest.raises(MachineError) as caught:
        verdict(error, f"{__name__}:metric")
    assert str(caught.value) == described(error) and caught.value.__cause__ is error


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_a_plugins_code_is_one(what):
    error = raised(MISTAKES[what])
    assert verdict(error, f"{__name__}:metric") == described(error)


def test_another_packages_own_errors_are_the_machines():
    for error in (OwnError("x"), Exception("x")):
        with pytest.raises(MachineError):
            verdict(raised(throws(error)), "salmu_other.metric")


def test_whoever_stops_the_work_is_heard():
    with pytest.raises(KeyboardInterrupt):
        verdict(KeyboardInterrupt())


def test_an_exception_is_described_whatever_its_words():
    class Silent(Exception):
        def __str__(self):
            raise KeyError

    assert described(ValueError("x" * 10_000)).endswith("... (10000 characters)")
    assert described(MemoryError()) == "MemoryError" and described(MetricError("a b")) == "a b"
    assert described(Silent()) == "Silent: (its text can't be had: KeyError)"


def test_a_circle_of_causes_ends():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert verdict(first) == "ValueError: a"
