"""MLflow: its metrics are numbers only, texts are tags; and not every name will do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from salmu_core.contract.tracker import End, Facts, Journal
from salmu_core.errors import UsageError
from salmu_core.machine import cache_folder
from salmu_trackers.adapter import Accelerated, AcceleratedJournal, begun

#: The tag a run is found by.
RUN = "salmu.run"


class MLflowJournal(AcceleratedJournal):
    """A run of MLflow's."""

    def log(self, values: Mapping[str, float], step: int | None) -> None:
        """See `Journal`."""
        self.tracker.log({re.sub(r"[^\w./ -]", "_", name, flags=re.ASCII): v for name, v in values.items()}, step=step)

    def explain(self, texts: Mapping[str, str]) -> None:
        """See `Journal`."""
        import mlflow

        mlflow.set_tags(dict(texts))

    def close(self, end: End) -> None:
        """See `Journal`."""
        import mlflow

        mlflow.end_run({"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}[end])


class MLflow(Accelerated):
    """`--tracker mlflow`."""

    name = "mlflow"
    packages = ("mlflow",)
    environment: Mapping[str, str] = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        # Sent by a thread that draws from Python's global generator.
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    place = "mlflow server"

    def check_settings(self) -> None:
        """See `Accelerated`."""
        if "MLFLOW_RUN_ID" in os.environ:
            raise UsageError("--tracker mlflow: MLFLOW_RUN_ID is set, but every run here is one of its own: unset it.")

    def begin(self, kind: Any, facts: Facts, folder: Path, again: bool) -> Journal:
        """See `Accelerated`."""
        with _alone():  # several processes would each make the same tables, or the same experiment
            known = _find(facts.id) if again else None
            arguments = {"run_id": known, "run_name": facts.name}
            journal = MLflowJournal(begun(kind(facts.project, **arguments), None if known else facts.config))
            journal.explain({RUN: facts.id, "method": facts.group})
        return journal


def _find(run: str) -> str | None:
    import mlflow

    runs = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"tags.`{RUN}` = '{run}'",
        max_results=1,
        output_format="list",
    )
    return runs[0].info.run_id if runs else None


@contextmanager
def _alone() -> Iterator[None]:
    """One process of this user at a time."""
    from filelock import FileLock

    cache_folder().mkdir(parents=True, exist_ok=True)
    with FileLock(cache_folder() / ".trackers.lock"):
        yield
