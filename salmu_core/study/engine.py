"""What carries the pieces of a study out elsewhere than in processes of this machine: brought by distributions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from salmu_core.contract.settings import Settings
from salmu_core.plugins.named import ENGINES, Named
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import RunKey, Store
from salmu_core.study.asked import Study
from salmu_core.study.pieces import Piece
from salmu_core.study.prepare import Options
from salmu_core.study.relay import Do
from salmu_core.study.resources import Resources


class Job(Protocol):
    """A study, for whoever does a part of it: see `study.job`; it can be pickled."""

    @property
    def study(self) -> Study: ...

    @property
    def overrides(self) -> Mapping[str, Settings]: ...

    @property
    def options(self) -> Options: ...

    def begin(self, results: Path, reporter: Reporter) -> Do:
        """Open everything, in a fresh interpreter; returns what does a piece."""


@dataclass(frozen=True)
class Order:
    """What an engine is to do.

    Attributes:
        job: The study.
        pieces: What is missing, in the order in which it is to be handed out.
        store: Where results are to lie in the end.
        resources: What one piece needs.
        workers: How many pieces are to be done at a time; None for as many as the engine is good for.
        parallel: How many can be.
        before: Of each later request of a sequence, the run that it goes on from.
    """

    job: Job
    pieces: Sequence[Piece]
    store: Store
    resources: Resources
    workers: int | None
    parallel: int
    before: Mapping[RunKey, RunKey]


class Engine(ABC):
    """An engine; made of an address, which may be empty, and of its table in the study file.

    Its entry point is in the group ``salmu.engines``. Any piece may be repeated, and be ended at any time: results
    appear whole or not at all, and are found by their content.
    """

    @abstractmethod
    def __init__(self, address: str, settings: Mapping[str, Any]) -> None:
        """Nothing is asked for yet.

        Raises:
            UsageError: The address or a setting makes no sense.
        """

    @abstractmethod
    def work(self, order: Order, reporter: Reporter) -> None:
        """Have everything done.

        Raises:
            MachineError: It can't be reached, or refuses.
            KeyboardInterrupt: Somebody stopped it; what waits is cancelled.
        """


_ENGINES = Named(
    group=ENGINES,
    base=Engine,
    noun="engine",
    option="--on",
    known={name: f"salmu-core[{name}]" for name in ("ray", "slurm")},
)


def load_engine(text: str, settings: Mapping[str, Mapping[str, Any]]) -> Engine:
    """The engine that ``NAME`` or ``NAME:ADDRESS`` names.

    Args:
        settings: Tables of the study file, by engine.

    Raises:
        UnknownNameError: It is not installed.
        UsageError: It can't be used like this.
    """
    name, _, address = text.partition(":")
    engine: Engine = _ENGINES.make(name, address, settings.get(name, {}))
    return engine
