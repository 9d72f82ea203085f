"""TensorBoard, Weights & Biases, MLflow and Trackio: how each of accelerate's trackers is spoken to.

Nothing here is a tracker itself. What differs among them is how a run is opened, found again and closed, what they
would ask or print, and whether a metric may be a text.
"""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shutil
import sys
import textwrap
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.machine import cache_folder

#: Settings of a run, as all of them take them.
Config = dict[str, str | int | float | bool]
#: How a run ended.
End = Literal["finished", "failed", "stopped"]


@dataclass(frozen=True)
class Facts:
    """What a tracker is told of a run when it opens it.

    Attributes:
        project: Of all worlds of a benchmark.
        group: The method.
        name: For people.
        id: Tells it from all others, also from the same run made again; can be reckoned from its record.
        path: Of the run's folder, inside the results folder.
        config: Its settings, and what else tells it from other runs.
    """

    project: str
    group: str
    name: str
    id: str
    path: Path
    config: Config


class Manner:
    """How a tracker is spoken to; this one will do for any of accelerate's."""

    #: Packages it needs, any one of them.
    packages: tuple[str, ...] = ()
    #: Environment variables that are set unless the user has set them.
    environment: Mapping[str, str] = {}
    #: How people get to see what was tracked.
    shown = ""

    def settle(self) -> None:
        """Set what it reads from the environment; before it is imported."""
        for variable, value in self.environment.items():
            os.environ.setdefault(variable, value)

    def check(self) -> None:
        """Find out before anything is begun whether it can be used.

        Raises:
            UsageError: It can't.
        """

    def open(self, kind: Any, facts: Facts, folder: Path, again: bool) -> Any:
        """Open a run, or go on with one that was closed, if there is one.

        Args:
            kind: accelerate's class.
            facts: What the run is.
            folder: Where it may keep files.
            again: Whether to go on.
        """
        return _begun(kind(facts.project, *([str(folder)] if kind.requires_logging_directory else [])), facts.config)

    def log(self, tracker: Any, values: Mapping[str, float], step: int | None) -> None:
        """Tell it numbers; without a step, they are of the run as a whole."""
        tracker.log(dict(values), step=step)

    def explain(self, tracker: Any, texts: Mapping[str, str]) -> None:
        """Tell it texts about a run."""
        tracker.log(dict(texts))

    def close(self, tracker: Any, end: End) -> None:
        """Close a run."""
        tracker.finish()


class TensorBoard(Manner):
    """Its run is a folder; the folders are those of the results."""

    packages = ("tensorboard", "tensorboardX")
    shown = "tensorboard --logdir {folder}"

    def open(self, kind: Any, facts: Facts, folder: Path, again: bool) -> Any:
        own = folder / facts.path
        if not again:
            shutil.rmtree(own, ignore_errors=True)  # as the results do with a run that is made again
        known = own.is_dir()
        return _begun(kind(facts.path.as_posix(), str(folder)), None if known else facts.config)


class Wandb(Manner):
    """It would ask for a key, print over the progress, and wait for a network as long as it takes."""

    packages = ("wandb",)
    environment: Mapping[str, str] = {
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
        "WANDB_FINISH_TIMEOUT": "120",
        "WANDB_FINISH_TIMEOUT_RAISES": "true",
    }
    shown = "on your W&B server; what is kept offline, after wandb sync"
    #: As transformers calls it.
    STEP = "train/global_step"

    def check(self) -> None:
        try:
            import wandb
        except ImportError as error:  # it is there, but what it needs is not
            raise UsageError(f"--tracker wandb: the package can't be imported: {sentence(error)}") from error
        terminal, sys.stdin = sys.stdin, io.StringIO()  # no terminal, no question
        try:
            wandb.login(verify=False)
        except wandb.errors.Error as error:
            raise UsageError(
                f"--tracker wandb: {sentence(error)} WANDB_MODE=offline keeps everything on this machine."
            ) from error
        finally:
            sys.stdin = terminal

    def open(self, kind: Any, facts: Facts, folder: Path, again: bool) -> Any:
        tracker = kind(
            os.environ.get("WANDB_PROJECT", facts.project),
            id=facts.id,
            name=facts.name,
            group=facts.group,
            config=facts.config,
            resume="allow" if again else "never",
        )
        _begun(tracker, None).tracker.define_metric("train/*", step_metric=self.STEP)
        return tracker

    def log(self, tracker: Any, values: Mapping[str, float], step: int | None) -> None:
        # As a value: wandb's own steps may never go back, and what is logged at an earlier one is dropped.
        tracker.log({**values, **({} if step is None else {self.STEP: step})})

    def close(self, tracker: Any, end: End) -> None:
        # accelerate's finish() says that all went well; 255 is what wandb takes for an interrupt.
        tracker.tracker.finish(exit_code={"finished": 0, "failed": 1, "stopped": 255}[end])
        tracker.finish()


class MLflow(Manner):
    """Its metrics are numbers only, texts are tags; and not every name will do."""

    packages = ("mlflow",)
    environment: Mapping[str, str] = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        # Sent by a thread that draws from Python's global generator.
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    shown = "mlflow server"

    def check(self) -> None:
        if "MLFLOW_RUN_ID" in os.environ:
            raise UsageError("--tracker mlflow: MLFLOW_RUN_ID is set, but every run here is one of its own: unset it.")

    def open(self, kind: Any, facts: Facts, folder: Path, again: bool) -> Any:
        with _alone():  # several processes would each make the same tables, or the same experiment
            known = self._find(facts.id) if again else None
            arguments = {"run_id": known, "run_name": facts.name}
            tracker = _begun(kind(facts.project, **arguments), None if known else facts.config)
            self.explain(tracker, {"salmu.run": facts.id, "method": facts.group})
        return tracker

    def _find(self, run: str) -> str | None:
        import mlflow

        found = mlflow.search_runs(
            search_all_experiments=True,
            filter_string=f"tags.`salmu.run` = '{run}'",
            max_results=1,
            output_format="list",
        )
        return found[0].info.run_id if found else None

    def log(self, tracker: Any, values: Mapping[str, float], step: int | None) -> None:
        tracker.log({re.sub(r"[^\w./ -]", "_", name, flags=re.ASCII): v for name, v in values.items()}, step=step)

    def explain(self, tracker: Any, texts: Mapping[str, str]) -> None:
        import mlflow

        mlflow.set_tags(dict(texts))

    def close(self, tracker: Any, end: End) -> None:
        import mlflow

        mlflow.end_run({"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}[end])


class Trackio(Manner):
    """It finds a run again by its name only, and prints what it does."""

    packages = ("trackio",)
    shown = "trackio show --project {project}"

    def open(self, kind: Any, facts: Facts, folder: Path, again: bool) -> Any:
        tracker = kind(
            facts.project,
            name=f"{facts.name}-{facts.id[:6]}",
            group=facts.group,
            config=facts.config,
            resume="allow" if again else "never",
        )
        with _quiet():
            return _begun(tracker, None)

    def close(self, tracker: Any, end: End) -> None:
        import trackio

        with _quiet():
            trackio.finish()  # after accelerate's finish() it would finish the same run again, at exit


TRACKERS: Mapping[str, Manner] = {
    "tensorboard": TensorBoard(),
    "wandb": Wandb(),
    "mlflow": MLflow(),
    "trackio": Trackio(),
}


def parse_trackers(texts: Iterable[str]) -> tuple[str, ...]:
    """``["tensorboard,wandb"]`` as ``("tensorboard", "wandb")``; each once, and each fit to be used.

    Raises:
        UnknownNameError: There is no such tracker.
        UsageError: Its package is not installed, or it can't begin without a question.
    """
    names = tuple(dict.fromkeys(part.strip() for text in texts for part in text.split(",")))
    for name in names:
        if name not in TRACKERS:
            raise UnknownNameError("tracker", name, TRACKERS)
        if not any(importlib.util.find_spec(package) for package in TRACKERS[name].packages):
            raise UsageError(f"--tracker {name}: the package is not installed: pip install {name}")
        TRACKERS[name].settle()
        TRACKERS[name].check()
    return names


def _begun(tracker: Any, config: Config | None) -> Any:
    # accelerate's trackers keep still outside the main process; here each process has runs of its own.
    tracker.main_process_only = False
    tracker.start()
    if config is not None:
        tracker.store_init_configuration(config)
    return tracker


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what this thread prints from standard output; others go on telling how far the study is."""
    me, out = threading.get_ident(), sys.stdout

    class Mine:
        def __getattr__(self, name: str) -> Any:
            return getattr(out, name)

        def write(self, text: str) -> int:
            return len(text) if threading.get_ident() == me else out.write(text)

    with redirect_stdout(Mine()):
        yield


@contextmanager
def _alone() -> Iterator[None]:
    """One process of this user at a time."""
    from filelock import FileLock

    cache_folder().mkdir(parents=True, exist_ok=True)
    with FileLock(cache_folder() / ".trackers.lock"):
        yield


def sentence(error: BaseException) -> str:
    """What an exception says, on one line."""
    return textwrap.shorten(str(error), 250, placeholder=" ...").rstrip(".") + "."
