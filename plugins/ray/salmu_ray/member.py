"""A process of the cluster, as a crew of this machine knows those that it hands pieces to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from salmu_core.errors import SalmuError, described
from salmu_core.plugins.named import sentence
from salmu_core.store.folders import RunKey
from salmu_core.study.engine import Order
from salmu_core.study.pieces import Piece
from salmu_ray.files import lay, read

#: Seconds between two looks at whether all is to be stopped.
_TICK = 0.5
#: What Ray says of actors that nobody can blame for their end.
_LOST = ("node", "unavailable", "preempt")


class _Stopped(Exception):
    """It is to end."""


class Remote:
    """An actor at the other end of a connection; a thread goes between them.

    Args:
        start: Starts the actor, a `Host`.
    """

    def __init__(self, start: Callable[[], Any], order: Order) -> None:
        self.connection, self._theirs = Pipe()
        self.lost = False
        self._order = order
        self._ending: str | None = None
        self._over = threading.Event()
        self._shared = True
        self._actor = start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ending(self) -> str | None:
        return None if self._thread.is_alive() else self._ending or "was ended"

    def stop(self) -> None:
        self._over.set()
        with suppress(Exception):
            self._actor.leave.remote()

    def wait(self, seconds: float) -> None:
        self._thread.join(seconds)

    def kill(self) -> None:
        self._over.set()
        with suppress(Exception):
            ray.kill(self._actor)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._go_between()
        except _Stopped:
            pass
        except RayActorError as error:
            text = str(error)
            self.lost = any(word in text.lower() for word in _LOST) and "worker process has died" not in text
            self._ending = "was lost with its machine" if self.lost else f"of the cluster died: {_first(text)}"
        except RayError as error:
            self._ending = f"of the cluster failed: {_first(str(error))}"
        except (OSError, EOFError):
            pass  # nobody hands out anything any more
        finally:
            with suppress(Exception):
                ray.kill(self._actor)
            self._theirs.close()

    def _go_between(self) -> None:
        place, self._shared = self._answer(self._actor.place.remote())
        self._tell("at", place)
        claim = ExitStack()
        with claim:
            piece: Piece | None = None
            while True:
                lines, ended = self._answer(self._actor.hear.remote(_TICK))
                for line in lines:
                    name, *words = json.loads(line)
                    if name == "done" and not words and piece is not None:
                        words = self._bring_home(piece)
                    if name == "done":
                        claim.close()
                    self._tell(name, *words)
                    if name == "next":
                        piece = self._next(claim)
                if ended is not None:
                    self._ending = ended
                    return

    def _next(self, claim: ExitStack) -> Piece | None:
        """Hand on the next piece that nobody else is at."""
        while True:
            while not self._theirs.poll(_TICK):
                self._answer(self._actor.hear.remote(0))  # whether it is still there
            piece: Piece | None = self._theirs.recv()
            needed = {}
            if piece is not None and not self._shared:
                if not claim.enter_context(self._order.store.claim(self._home(piece))):
                    self._tell("passed", f"{piece.target}: left to another process")
                    self._tell("done")
                    self._tell("next")
                    continue
                for folder in self._needed(piece):
                    path = folder.relative_to(self._order.store.root).as_posix()
                    if folder.is_dir() and not self._answer(self._actor.has.remote(path)):
                        needed[path] = read(folder)
            self._answer(self._actor.hand.remote(piece, needed))
            return piece

    def _bring_home(self, piece: Piece) -> tuple[object, ...]:
        """Write what came of a piece; returns why it can't be, which is nothing if it was."""
        if self._shared:
            return ()
        home = self._home(piece)
        files = self._answer(self._actor.fetch.remote(home.relative_to(self._order.store.root).as_posix()))
        try:
            if files:
                lay(home, files)
        except (OSError, SalmuError, ValueError) as error:
            return described(error), isinstance(error, OSError)
        return ()

    def _home(self, piece: Piece) -> Path:
        store, target = self._order.store, piece.target
        return store.folder(target) if isinstance(target, RunKey) else store.reference(piece.benchmark, target)

    def _needed(self, piece: Piece) -> list[Path]:
        """Folders that must lie where it is done."""
        if piece.phase != "unlearning":
            return [self._home(piece)]
        before = self._order.before.get(piece.target) if isinstance(piece.target, RunKey) else None
        return [self._order.store.folder(before)] if before else []

    def _answer(self, asked: Any) -> Any:
        """What the actor answers.

        Raises:
            _Stopped: It is to end.
        """
        while not self._over.is_set():
            ready, _ = ray.wait([asked], timeout=_TICK)
            if ready:
                return ray.get(ready[0])
        raise _Stopped

    def _tell(self, name: str, *words: object) -> None:
        self._theirs.send_bytes(json.dumps([name, *words]).encode())


def _first(text: str) -> str:
    """What Ray says, without its advice and tracebacks."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return sentence(Exception(lines[-1] if "Error" in lines[-1] else lines[0])) if lines else "nobody knows why."
