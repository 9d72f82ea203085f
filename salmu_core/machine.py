"""The machine that a process runs on: its cores and folders, and what of it can show in a figure."""

from __future__ import annotations

import os
import platform
import random
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: Libraries whose versions can change a figure.
LIBRARIES = ("salmu-core", "torch", "open-clip-torch", "accelerate", "numpy", "pillow", "safetensors")


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent(patience: float = 0.0) -> None:
    """Let this process, which another one started by `multiprocessing`, end when that one does.

    Args:
        patience: Seconds between SIGTERM, which may end it tidily, and the end.
    """

    import multiprocessing

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(patience)
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


#: Tokens by the shapes that services give them, and who logs in at an address.
_SECRETS = re.compile(
    r"\b(?:hf_|gh[opsur]_|github_pat_|glpat-|xox[abeoprs]-|AIza|AKIA|sk-(?:ant-|proj-)?)[A-Za-z0-9_]{16,}[\w-]*"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}|(?<=://)[^/\s@]+:[^/\s@]+(?=@)"
)
#: Names of variables that hold some.
_OF_SECRETS = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|(?:API|ACCESS|PRIVATE)_?KEY)S?(?:_|$)")


def holds_secret(text: str) -> bool:
    """Whether a text has a token or a password in it: by its shape, or as the environment has it."""
    return _SECRETS.search(text) is not None or any(value in text for value in _secrets())


def without_secrets(text: str) -> str:
    """A text as records may keep it, which are handed on: no token, no password, and not the name of whoever made it.

    Their home is ``~``, in commands so that a shell still finds it.
    """
    for value in _secrets():
        text = text.replace(value, "***")
    with suppress(RuntimeError):  # a user without a home
        if folder := str(Path.home()).rstrip("/"):  # which is / in some containers
            text = re.sub(rf"(?<![\w.-])('?){re.escape(folder)}/", r"~/\1", text)
    return _SECRETS.sub("***", text)


def _secrets() -> list[str]:
    """Values of variables that are called secret; short ones are words, which may stand anywhere."""
    return [value for name, value in os.environ.items() if len(value) >= 8 and _OF_SECRETS.search(name.upper())]


def cache_folder() -> Path:
    """Where what can be made again lies: ``$SALMU_CACHE``, else the platform's cache folder for this user."""
    if override := os.environ.get("SALMU_CACHE"):
        return Path(override)
    import platformdirs

    return Path(platformdirs.user_cache_dir("salmu"))


def environment(device: torch.device, precision: str | None, *libraries: str) -> dict[str, str]:
    """What computes: versions, device, precision and threads.

    Args:
        precision: As accelerate calls it.
        libraries: Distributions that matter beside those that always do.
    """

    import torch

    gpu = device.type == "cuda"
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in (*LIBRARIES, *libraries)},
        "device": torch.cuda.get_device_name(device) if gpu else f"{device.type} {platform.machine()}",
        "precision": str(precision),
        "threads": str(torch.get_num_threads()),
        "platform": platform.platform(terse=True),
    }


@cache
def _version(distribution: str) -> str:
    from importlib.metadata import version

    return version(distribution)


#: Beginnings of variables that decide how libraries compute.
_SWITCHES = ("MKL_", "ONEDNN_", "DNNL_", "ATEN_", "OMP_", "KMP_", "CUBLAS_", "CUDNN_", "NVIDIA_TF32", "TORCH_")


def numerics(device: torch.device) -> dict[str, str]:
    """All that is known to show in the last bits of what a device computes in float32."""
    import torch

    return environment(device, None) | {
        "processor": f"{_processor()} {torch.backends.cpu.get_cpu_capability()}",
        "matmul": f"{torch.get_float32_matmul_precision()} {torch.backends.cuda.matmul.allow_tf32}",
        "build": torch.__config__.show(),
        "cudnn": str(
            [getattr(torch.backends.cudnn, n) for n in ("enabled", "allow_tf32", "benchmark", "deterministic")]
        ),
        "attention": str(
            [getattr(torch.backends.cuda, f"{n}_sdp_enabled")() for n in ("flash", "mem_efficient", "math")]
        ),
        "mkldnn": str(torch.backends.mkldnn.enabled),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        "variables": str(sorted(item for item in os.environ.items() if item[0].startswith(_SWITCHES))),
    }


@cache
def _processor() -> str:
    """Its model, as exactly as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    told = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "CPU part", "Features")
    return str([line for line in lines[: lines.index("") if "" in lines else None] if line.split("\t")[0] in told])


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Undo what the block does to the global generators of Python, NumPy and torch's CPU."""
    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def peak_memory(device: torch.device) -> int:
    """The most memory that was in use so far, in bytes: of a CUDA device by its tensors, else by this process."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # KiB but on macOS
