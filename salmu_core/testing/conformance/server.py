"""Processes that have torch already and fork trials, so that it is imported once for many of them.

Two of them, whose sets of strings are ordered differently: what comes out the same in both does not depend on that.
Importing this costs no torch.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from typing import NoReturn

from salmu_core.testing.conformance.trial import main, preload


@cache
def _servers() -> dict[int, Server]:
    return {}


def server(hash_seed: int) -> Server:
    """The server of one order of sets; it starts when first asked for, again if it was killed, and ends with us."""
    known = _servers().get(hash_seed)
    if known is None or not known.alive:
        known = _servers()[hash_seed] = Server(hash_seed)
        atexit.register(known.close)
    return known


class Server:
    """A process that starts trials; where an operating system has no fork, each is a fresh interpreter.

    Args:
        hash_seed: ``PYTHONHASHSEED`` of the trials.
    """

    def __init__(self, hash_seed: int) -> None:
        self._environment = {
            **os.environ,
            "PYTHONHASHSEED": str(hash_seed),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait by spinning starve each other; read by torch's import
        }
        self._fresh: dict[int, subprocess.Popen[str]] = {}
        self._process = (
            self._python("from salmu_core.testing.conformance.server import serve; serve()") if _FORKS else None
        )

    @property
    def alive(self) -> bool:
        """Whether it can still start trials."""
        return self._process is None or self._process.poll() is None

    def start(self, request: str) -> int:
        """Start a trial; returns the number of its process."""
        if self._process is None:
            process = self._python(
                "import sys; from salmu_core.testing.conformance.trial import main; main(sys.argv[1])", request
            )
            self._fresh[process.pid] = process
            return process.pid
        return int(self._ask(f"start {request}") or -1)

    def poll(self, pid: int) -> int | None:
        """Exit code of a trial, negative for a signal; None while it is going on."""
        if self._process is None:
            return self._fresh[pid].poll()
        said = self._ask(f"poll {pid}")
        return None if said == "on" else int(said or -signal.SIGKILL)  # nothing: the server itself was killed

    def kill(self, pid: int) -> None:
        """End a trial, if it hasn't ended."""
        if self._process is None:
            self._fresh[pid].kill()
        else:
            self._ask(f"kill {pid}")

    def close(self) -> None:
        """End the server."""
        if self._process is not None:
            self._process.kill()
            with suppress(OSError):
                self._process.communicate()

    def _python(self, code: str, *words: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE if _FORKS else subprocess.DEVNULL
        return subprocess.Popen(
            [sys.executable, "-c", code, *words],
            env=self._environment,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for whoever asked; they end the trials
        )

    def _ask(self, line: str) -> str:
        assert self._process is not None and self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            return self._process.stdout.readline().strip()
        except OSError:
            return ""


_FORKS = hasattr(os, "fork")


def serve() -> None:
    """Answer ``start REQUEST``, ``poll PID`` and ``kill PID`` from standard input until it closes."""
    preload()
    gc.collect()
    gc.freeze()  # accelerate collects garbage around every run: it need not look at what the libraries hold
    codes: dict[int, int] = {}
    going: set[int] = set()
    try:
        for line in sys.stdin:
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "start":
                pid = os.fork()
                if pid == 0:
                    _trial(rest)
                going.add(pid)
                print(pid, flush=True)
                continue
            pid = int(rest)
            if word == "kill" and pid in going:
                _end(pid)
            if pid in going:
                ended, status = os.waitpid(pid, 0 if word == "kill" else os.WNOHANG)
                if ended:
                    going.remove(pid)
                    codes[pid] = os.waitstatus_to_exitcode(status)
                    _end(pid, group_only=True)
            print(codes.get(pid, "on"), flush=True)
    finally:  # whoever asked is gone, perhaps in the middle of an answer
        for pid in going:
            _end(pid)


def _trial(request: str) -> NoReturn:
    """The forked process: a group of its own, so that what it starts ends with it."""
    os.setsid()
    server_pid = os.getppid()

    def watch() -> None:
        while os.getppid() == server_pid:
            time.sleep(1)
        os.killpg(0, signal.SIGKILL)  # nobody is left to do it

    threading.Thread(target=watch, daemon=True).start()
    main(request)
    os._exit(0)


def _end(pid: int, group_only: bool = False) -> None:
    """Kill a trial and everything it started; once it has been waited for, its number may be somebody else's."""
    for kill in (os.killpg,) if group_only else (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
