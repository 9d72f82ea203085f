"""Ray as an engine: ``salmu run ... --on ray[:ADDRESS]``."""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from salmu_core.errors import MachineError, UsageError, explain
from salmu_core.plugins.named import sentence
from salmu_core.run.reporter import Reporter
from salmu_core.study.engine import Engine, Order
from salmu_core.study.processes import Crew

#: Seconds in which a cluster must answer.
_ANSWERS = 10


class Settings(BaseModel):
    """The table ``[engine.ray]`` of a study file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus: float | None = Field(default=None, ge=0, description="CPUs of one worker; absent: `--threads`.")
    resources: dict[str, float] = Field(default_factory=dict, description="Custom resources of one worker.")
    runtime_env: dict[str, Any] = Field(default_factory=dict, description="As `ray.init` takes it.")


class Ray(Engine):
    """A cluster that runs already, or one of this machine alone for as long as the study lasts."""

    def __init__(self, address: str, settings: Mapping[str, Any]) -> None:
        try:
            self._settings = Settings.model_validate(dict(settings))
        except ValidationError as error:
            raise UsageError(f"[engine.ray]: {explain(error, Settings.model_fields)}") from error
        self._address = address

    def work(self, order: Order, reporter: Reporter) -> None:
        import ray

        from salmu_ray.host import Host
        from salmu_ray.member import Remote

        with _connected(self._address, self._settings.runtime_env), _marked(order.store.root) as mark:
            asked = self._asked(order)
            workers = order.workers or _fits(asked)
            if not _fits(asked):
                wanted = ", ".join(f"{amount:g} {name}" for name, amount in asked.items())
                raise MachineError(f"--on ray: no machine of the cluster has what one run is to be given: {wanted}.")
            options = {
                "num_cpus": asked.get("CPU", 0),
                "num_gpus": asked.get("GPU", 0),
                "memory": order.resources.memory_bytes,
                "resources": self._settings.resources or None,
                "max_restarts": 0,
            }
            actor = ray.remote(Host).options(**options)
            root = str(order.store.root.absolute())
            start = partial(actor.remote, order.job, root, mark)
            Crew(order.pieces, partial(Remote, start, order), reporter).work(min(workers, max(1, order.parallel)))

    def _asked(self, order: Order) -> dict[str, float]:
        """What one worker is given, by Ray's names."""
        import ray

        cards = order.resources.cards
        if cards is None:
            cards = float(ray.cluster_resources().get("GPU", 0) >= 1)  # type: ignore[no-untyped-call]
        cpus = order.job.options.threads if self._settings.cpus is None else self._settings.cpus
        memory = order.resources.memory_bytes
        asked = {"CPU": cpus, "GPU": cards, **({"memory": memory} if memory else {}), **self._settings.resources}
        return {name: amount for name, amount in asked.items() if amount}


def _fits(asked: Mapping[str, float]) -> int:
    """How many workers the machines of the cluster have room for at a time."""
    import ray

    rooms = []
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["Alive"]:
            has = node["Resources"]
            rooms.append(min((int(has.get(name, 0) / amount + 1e-6) for name, amount in asked.items()), default=1))
    return sum(rooms)


@contextmanager
def _connected(address: str, runtime_env: Mapping[str, Any]) -> Iterator[None]:
    """A block in which this process is connected to a cluster.

    Raises:
        MachineError: There is none, or it is of another version.
    """
    import ray

    path = Path(address)
    if address and path.is_file():
        address = path.read_text(encoding="utf-8").strip()
    where = f" at {address}" if address else ""
    before = signal.getsignal(signal.SIGTERM)
    try:
        _look_for(address)
        ray.init(
            address or None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env=dict(runtime_env) or None,
            namespace="salmu",
        )
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
        # A head that `ray start` has given a token keeps a client without it waiting, and never says why.
        locked = "client connection timeout" in str(error) and "RAY_AUTH_MODE" not in os.environ
        hint = " If the cluster asks for a token, set RAY_AUTH_MODE=token." * locked
        raise MachineError(f"--on ray: no cluster can be reached{where}: {sentence(error)}{hint}") from error
    signal.signal(signal.SIGTERM, before)  # Ray puts its own there
    try:
        yield
    finally:
        ray.shutdown()


def _look_for(address: str) -> None:
    """See whether somebody answers: Ray itself takes many minutes to say that nobody does.

    Raises:
        OSError: Nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWERS).close()


@contextmanager
def _marked(root: Path) -> Iterator[str]:
    """A block in which a results folder holds a file by which others know it; yields its name."""
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=root, prefix=".seen-") as file:
        yield Path(file.name).name
