"""What somebody types: commands, and studies, to hold what an engine makes of one against what one machine makes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from importlib.metadata import entry_points
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

from salmu_core.disk.files import visible_files

T = TypeVar("T")

#: What of a record is a result; the rest tells how it was made.
_RESULTS = ("status", "config_hash", "checkpoint_hash", "metrics")


def typed(folder: Path, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """What comes of ``salmu WORDS`` typed in a folder, though in this process: exit code, output, errors as sentences.

    Args:
        environment: Variables beside this process's own.
    """
    command, code = ["salmu", *map(str, words)], 0
    out, err = (TextIOWrapper(BytesIO(), encoding="utf-8") for _ in range(2))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with patch.object(sys, "argv", command), patch.dict(os.environ, environment), chdir(folder):
        try:
            with redirect_stdout(out), redirect_stderr(err):
                next(iter(entry_points(group="console_scripts", name="salmu"))).load()()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return subprocess.CompletedProcess(command, code, *(said.buffer.getvalue().decode() for said in (out, err)))


def begin_study(folder: Path, *words: object, **environment: str) -> subprocess.Popen[str]:
    """Begin `salmu run` in a folder and a process of its own, at the head of a group, for Ctrl-C to be sent to.

    Args:
        folder: Where relative paths begin; the cache is in it too, unless the environment says otherwise.
        words: What follows `salmu run`.
        environment: Variables beside this process's own.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "salmu_core", "run", *map(str, words)],
        cwd=folder,
        env=os.environ | {"SALMU_CACHE": str(folder / "cache"), "PYTHONUNBUFFERED": "1"} | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def end_study(process: subprocess.Popen[str], seconds: float = 240) -> tuple[str, int]:
    """Wait for the end of what `begin_study` began; returns what it printed, and its exit code.

    Raises:
        subprocess.TimeoutExpired: It goes on after so many seconds.
    """
    said, _ = process.communicate(timeout=seconds)
    return said, process.returncode


def study_content(results: Path) -> dict[str, str]:
    """What must be the same however and wherever a study is made: path in a results folder -> its results, or digest.

    Of records that is what was found, not when and by what; hidden files are left out.
    """
    found = {}
    for path in visible_files(results):
        name = path.relative_to(results)
        if path.suffix == ".json":
            record = json.loads(path.read_bytes())
            kept = {field: record[field] for field in _RESULTS if field in record}
            for metric in kept.get("metrics", {}).values():
                metric.pop("seconds", None)
            found[name.as_posix()] = json.dumps(kept, sort_keys=True)
        else:
            found[name.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def wait_for(condition: Callable[[], T], seconds: float = 120) -> T:
    """Wait until something is so; returns what the condition returned.

    Raises:
        AssertionError: It is not, after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"after {seconds:g} seconds it still was not so"
        time.sleep(0.05)
    return value
