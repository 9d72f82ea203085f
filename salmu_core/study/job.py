"""A study as another process or machine is told of it: everything is opened there anew."""

from __future__ import annotations

import atexit
import gc
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from salmu_core.benchmark.retain import Stream
from salmu_core.contract.settings import Settings
from salmu_core.errors import MachineError
from salmu_core.plugins.code import code_hash
from salmu_core.plugins.zoo import Zoo, discover
from salmu_core.run.accelerator import accelerate, device_type, set_threads
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import RunKey, Store
from salmu_core.study.asked import Study
from salmu_core.study.member import forks
from salmu_core.study.prepare import Options, Work, prepare
from salmu_core.study.relay import Do

if TYPE_CHECKING:
    from salmu_core.study.apart import Make
    from salmu_core.study.worker import Worker


def _own_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("SALMU_")}


@dataclass(frozen=True)
class Job:
    """All that makes a study; it can be pickled.

    Attributes:
        overrides: Settings that go over the study's, by method.
        made_of: What must be the same wherever it is done, by what people call it: see `made_of`.
        folder: Where its relative paths begin.
        environment: SALMU's own variables, for where they aren't set.
    """

    study: Study
    overrides: Mapping[str, Settings]
    options: Options
    made_of: Mapping[str, str] = field(default_factory=dict)
    folder: str = field(default_factory=os.getcwd)
    environment: Mapping[str, str] = field(default_factory=_own_settings)

    def begin(self, results: Path, reporter: Reporter) -> Do:
        """Open everything, in a fresh interpreter; returns what does a piece. Runs are made in other processes.

        Args:
            results: The folder that they are written to.

        Raises:
            MachineError: Code or data are not what they are where the study was begun.
        """
        elsewhere = None if forks(device_type()) else partial(partial, self._make, results)
        return self._worker(results, reporter, elsewhere).do

    def _make(self, results: Path, run: RunKey) -> Make:
        """Open everything that a run needs, in a fresh interpreter that makes no other."""
        return self._worker(results, Reporter()).make(run)

    def _worker(
        self, results: Path, reporter: Reporter, elsewhere: Callable[[RunKey], Callable[[], Make]] | None = None
    ) -> Worker:
        with suppress(OSError):  # another machine's folders may be others
            os.chdir(self.folder)
        for name, value in self.environment.items():
            os.environ.setdefault(name, value)
        zoo, store = discover(fresh=not self.study.named, kinds=["method"]), Store(results)
        stream, works = prepare(self.study, self.overrides, zoo, store, reporter)
        here = made_of(works, zoo)
        for what, there in self.made_of.items():
            if here.get(what) != there:
                raise MachineError(
                    f"{platform.node()} has another {what} than the machine where the study was begun: install the "
                    "same distributions and bring the same data to both, or results would differ"
                )
        return worker(works, stream, zoo, store, self.options, reporter, elsewhere)


def made_of(works: Iterable[Work], zoo: Zoo) -> dict[str, str]:
    """Versions and hashes of all that results depend on."""
    parts = {"version of salmu-core": version("salmu-core")}
    for work in works:
        benchmark = work.benchmark
        parts[f"benchmark {benchmark.name}"] = f"{benchmark.data_hash} {benchmark.model_hash('compromised')}"
        parts |= {f"code of {p.key.method}": p.code for p in work.plan}
    return parts | {f"code of {name}": code_hash(metric.module) for name, metric in zoo.metrics.items()}


def worker(
    works: Sequence[Work],
    stream: Stream | None,
    zoo: Zoo,
    store: Store,
    options: Options,
    reporter: Reporter,
    elsewhere: Callable[[RunKey], Callable[[], Make]] | None = None,
) -> Worker:
    """What does pieces in this process, and in those forked from it: one thread, so that none is lost by a fork."""
    set_threads(1)  # before anything is computed
    accelerator = accelerate(options.mixed_precision, 1)
    from salmu_core.study.worker import Worker

    gc.freeze()  # accelerate collects garbage around every run: it need not look at what the libraries hold
    atexit.register(gc.unfreeze)  # some of them look at the end whether everything of theirs was let go
    return Worker(works, stream, store, list(zoo.metrics.values()), accelerator, options, reporter, elsewhere)
