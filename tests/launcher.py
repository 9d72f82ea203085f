"""``python -m salmu_core`` without waiting for imports: forked from a process that has everything heavy already.

What a forked process is told replaces what it inherited: arguments, folder, environment, import path, streams, random
numbers, a session of its own. It runs its module as ``-m`` would, and ends as an interpreter ends. What it shares
with others of its server is what was decided when the server began: the order of sets of strings, and whatever
variables libraries read while they are imported. Where another process is the point, and for any variable that is not
known to be read late nor set by these imports themselves, `Launcher.run` starts a fresh interpreter.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

#: Variables a command reads when it runs; others may have been read by an import, and get a fresh interpreter.
LATE = ("ACCELERATE_MIXED_PRECISION", "COLUMNS", "CUDA_VISIBLE_DEVICES", "HF_", "PYTHONPATH", "PYTEST_", "SALMU_")
#: What commands import. Plugins are left out: they are found anew, as the test installed them.
PRELOADED = (
    "accelerate", "numpy", "open_clip", "packaging.requirements", "PIL.Image", "pluggy", "psutil", "pyarrow.compute",
    "pyarrow.dataset", "pyarrow.parquet", "pydantic", "rich.progress", "rich.table", "safetensors.torch",
    "scipy.stats", "sklearn.linear_model", "sklearn.pipeline", "torch", "torchvision", "typer",
    "salmu_core.cli.doctor", "salmu_core.cli.evaluate", "salmu_core.cli.reading", "salmu_core.cli.results",
    "salmu_core.cli.run", "salmu_core.cli.verify", "salmu_core.show.overview", "salmu_core.study.attacking",
    "salmu_core.study.execution", "salmu_core.study.work", "salmu_core.study.worker", "salmu_core.testing.tiny",
)  # fmt: skip
_FORKS = hasattr(os, "fork")


class Launcher:
    """Runs the command line; its server starts when first needed, and again after a command that got stuck."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None
        self._environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._loaded: dict[str, str] = {}

    def run(
        self,
        words: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        timeout: float,
        fresh: bool = False,
        module: str = "salmu_core",
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with captured text.

        Args:
            words: Behind ``python -m MODULE``.
            cwd: The current folder.
            env: The whole environment.
            timeout: Seconds.
            fresh: Whether to start an interpreter of its own.
            module: What to run.

        Raises:
            subprocess.TimeoutExpired: It took longer, and was killed.
        """
        command = [sys.executable, "-m", module, *words]
        if fresh or not _FORKS or not self._fits(env):
            return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout)
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            request = {
                "module": module,
                "words": words,
                "cwd": str(cwd),
                "env": {**env},
                "streams": [str(out), str(err)],
            }
            code = self._ask(request, timeout)
            if code is None:
                raise subprocess.TimeoutExpired(command, timeout, out.read_bytes(), err.read_bytes())
            return subprocess.CompletedProcess(command, code, out.read_text(), err.read_text())

    def close(self) -> None:
        """End the server, and a command that is still running."""
        if self._server is not None:
            with suppress(OSError):
                self._server.communicate()
            self._server = None

    def _fits(self, env: Mapping[str, str]) -> bool:
        """Whether the server's imports read nothing that differs in this environment, but for what they set there.

        Whoever imports a library in the tests' own process has what it sets from then on.
        """
        changed = {name for name, _ in {*env.items()} ^ {*self._environment.items()} if not name.startswith(LATE)}
        if changed:
            self._started()
        return all(env.get(name) == self._loaded.get(name) for name in changed)

    def _started(self) -> subprocess.Popen[str]:
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, __file__],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C is for whoever runs the tests
            )
            assert self._server.stdout is not None
            self._loaded = json.loads(self._server.stdout.readline())  # imports are no command's time
        return self._server

    def _ask(self, request: Mapping[str, object], timeout: float) -> int | None:
        """Exit code of a command, negative for a signal; None if it had to be ended."""
        server = self._started()
        assert server.stdin is not None and server.stdout is not None
        try:
            print(json.dumps(request), file=server.stdin, flush=True)
            ended = bool(select.select([server.stdout], [], [], timeout)[0])
            if not ended:
                print(file=server.stdin, flush=True)
            code = int(server.stdout.readline())
        except BaseException:  # of whoever limits the time of tests, for one
            self.close()
            raise
        return code if ended else None


def serve() -> dict[str, object]:
    """Fork a process for every request on standard input, and tell its exit code; ends with the input.

    Returns:
        The request, in the forked process.
    """
    for module in PRELOADED:
        importlib.import_module(module)
    tiny = sys.modules["salmu_core.testing.tiny"]
    sys.modules["salmu_core.clip.model"].plain_tokenizer(tiny.tiny_config())  # of all models the tests have
    gc.collect()
    gc.freeze()
    print(json.dumps({**os.environ}), flush=True)
    while request := sys.stdin.readline():
        if request.isspace():  # somebody wanted an end of what had just ended
            continue
        with warnings.catch_warnings():  # of threads: the libraries' own, which know of forks and rest until then
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            return json.loads(request)
        while not (found := os.waitpid(pid, os.WNOHANG))[0]:
            # Nobody asks for a second one before the first has ended: they want an end of it, or are gone.
            if select.select([sys.stdin], [], [], 0.005)[0]:
                for kill in (os.killpg, os.kill):
                    with suppress(ProcessLookupError, PermissionError):
                        kill(pid, signal.SIGKILL)
                sys.stdin.readline()
                found = os.waitpid(pid, 0)
                break
        print(os.waitstatus_to_exitcode(found[1]), flush=True)
    os._exit(0)


def become(module: str, words: Sequence[str], cwd: str, env: Mapping[str, str], streams: Sequence[str]) -> str:
    """Take over everything else by which processes differ; returns the module to run."""
    os.setsid()
    write = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, (path, flags) in enumerate([(os.devnull, os.O_RDONLY), *((path, write) for path in streams)]):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[:] = [cwd, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep)), *sys.path[1:]]
    importlib.invalidate_caches()
    if hub := sys.modules.get("huggingface_hub.constants"):
        importlib.reload(hub)  # reads HF_*; whoever uses them asks the module
    sys.argv = ["salmu", *words]
    import numpy as np
    import torch

    np.random.seed()  # or all would draw the same; `random` sees to it itself
    torch.default_generator.seed()
    return module


class Module:
    """Runs a module as ``python -m`` does, and ends the process without taking torch apart piece by piece."""

    def __init__(self) -> None:
        self._code = 1  # of an exception that nobody catches
        atexit.register(self._leave)  # made before anything is imported: what is registered first is called last

    def run(self, name: str) -> None:
        try:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
            self._code = 0
        except SystemExit as end:
            self._code = end.code if isinstance(end.code, int) else int(end.code is not None)
            raise

    def _leave(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(self._code)


if __name__ == "__main__":
    module = Module()
    module.run(become(**serve()))
