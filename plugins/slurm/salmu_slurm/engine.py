"""Slurm as an engine: ``salmu run ... --on slurm``."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from salmu_core.errors import MachineError, UsageError, explain
from salmu_core.plugins.named import sentence
from salmu_core.run.reporter import Reporter
from salmu_core.study.engine import Engine, Order

#: In the results folder: what jobs are made of, write down and print.
FOLDER = "_slurm"
#: Jobs unless `--processes` says how many, and seconds between two looks at them.
JOBS, TICK = 8, 1.0
#: What of all that a job tells is shown; what it passes by is another one's.
_TOLD = ("at", "building", "begin", "step", "end", "say")
#: Minutes of a job beside its runs, and of one whose runs nobody knows.
_BESIDE, _UNKNOWN = 15, 24 * 60


class Settings(BaseModel):
    """The table ``[engine.slurm]`` of a study file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus: int = Field(default=2, ge=1, description="CPUs of a job: one for the run, one beside it.")
    minutes: int | None = Field(default=None, ge=1, description="Time of a job; absent: of its runs, or a day.")
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="More of what submitit knows: slurm_partition, slurm_account, slurm_qos, slurm_setup, ...",
    )


class Slurm(Engine):
    """Jobs of one array, each of which takes what nobody has begun with."""

    def __init__(self, address: str, settings: Mapping[str, Any]) -> None:
        try:
            self._settings = Settings.model_validate(dict(settings))
        except ValidationError as error:
            raise UsageError(f"[engine.slurm]: {explain(error, Settings.model_fields)}") from error
        self._address = address

    def work(self, order: Order, reporter: Reporter) -> None:
        import submitit

        from salmu_slurm.share import Share

        root = order.store.root.absolute()
        count = max(1, min(order.workers or JOBS, order.parallel))
        with _folder(root) as folder, tempfile.NamedTemporaryFile(dir=root, prefix=".seen-") as mark:
            try:
                # "local" is submitit's own, for a look at how it goes without a cluster.
                executor = submitit.AutoExecutor(folder, cluster="local" if self._address == "local" else "slurm")
                executor.update_parameters(**self._parameters(order, count))
            except (RuntimeError, ValueError, NameError, TypeError, AssertionError) as error:
                raise MachineError(f"--on slurm: {sentence(error)}") from error
            name = Path(mark.name).name
            told = [folder / f"{index}.told" for index in range(count)]
            shares = [Share(order.job, str(root), str(told[i]), name, i, count) for i in range(count)]
            jobs = self._submitted(executor, shares)
            try:
                self._follow(jobs, told, reporter)
            except KeyboardInterrupt:
                for job in jobs:
                    with suppress(Exception):
                        job.cancel()
                raise

    def _parameters(self, order: Order, count: int) -> dict[str, Any]:
        """What each job asks for, by submitit's names."""
        needs, mine = order.resources, self._settings
        runs = math.ceil(len(order.pieces) / count)
        minutes = mine.minutes or (math.ceil(runs * needs.time_seconds / 60) + _BESIDE if needs.time_seconds else None)
        asked: dict[str, Any] = {
            "name": "salmu",
            "cpus_per_task": max(mine.cpus, order.job.options.threads),
            "timeout_min": minutes or _UNKNOWN,
            "gpus_per_node": math.ceil(needs.cards) if needs.cards is not None else 0,
        }
        if needs.memory_bytes:
            asked["mem_gb"] = needs.memory_bytes / 2**30
        if self._address and self._address != "local":
            asked["slurm_partition"] = self._address
        return asked | mine.parameters

    def _submitted(self, executor: Any, shares: Sequence[Any]) -> list[Any]:
        """All jobs, as one array.

        Raises:
            MachineError: The controller refuses.
        """
        try:
            jobs: list[Any] = executor.submit_array(shares)
        except Exception as error:
            raise MachineError(f"--on slurm: the jobs were refused: {sentence(error)}") from error
        return jobs

    def _follow(self, jobs: Sequence[Any], told: Sequence[Path], reporter: Reporter) -> None:
        """Show what the jobs tell until all have ended.

        Raises:
            MachineError: One ended without a result.
        """
        tails = [_Tail(path, reporter.beside()) for path in told]
        going = dict(enumerate(jobs))
        problems: list[str] = []
        said = False
        while going:
            for tail in tails:
                tail.look()
            for index, job in tuple(going.items()):
                if job.done():
                    del going[index]
                    problems += [text] if (text := _problem(job)) else []
            if going and not said and not any(tail.heard for tail in tails):
                said = True
                reporter.say(f"{len(jobs)} jobs are submitted: {jobs[0].job_id} to {jobs[-1].job_id}.")
            time.sleep(TICK if going else 0)
        for tail in tails:
            tail.look()
        if problems:
            raise MachineError(
                f"--on slurm: {len(problems)} of {len(jobs)} jobs ended without having done their part: {problems[0]}. "
                "Finished runs are kept; the same command goes on from here."
            )


def _problem(job: Any) -> str:
    """Why a job did not do its part; empty if it did."""
    try:
        text: str = job.result()
    except Exception as error:
        text = f"job {job.job_id} is {job.state}: {sentence(error)}"
    return text.rstrip(".")


class _Tail:
    """Reads on in a file that a job writes to."""

    def __init__(self, path: Path, reporter: Reporter) -> None:
        self._path, self._reporter = path, reporter
        self._at = 0
        self.heard = False

    def look(self) -> None:
        """Show what was added; of a line that is not whole yet, nothing."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._at)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.splitlines():
            self.heard = True
            with suppress(ValueError, TypeError):
                name, *words = json.loads(line)
                if name in _TOLD:
                    getattr(self._reporter, name)(*words)


@contextmanager
def _folder(root: Path) -> Iterator[Path]:
    """A new folder for one study's jobs; it goes if all was well."""
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=root / FOLDER, prefix=f"{time.strftime('%Y%m%d-%H%M%S')}-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        (root / FOLDER).rmdir()
