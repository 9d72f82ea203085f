"""Hands a plan to a HyperQueue server: ``salmu plan ... --as jsonl | python -m salmu_plan.pack``.

It needs what HyperQueue has for Python (``pip install 'salmu-plan[hyperqueue]'``), and no ``hq`` where it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any


def pack(
    rows: Iterable[Mapping[str, Any]], server: Path | None, cpus: int = 1, memory: bool = True, wait: bool = True
) -> bool:
    """Submit the lines of a plan as the tasks of one job, each with what it needs; one that fails ends no other.

    Args:
        rows: As ``salmu plan --as jsonl`` prints them.
        server: The server's folder; None for ``~/.hq-server``.
        cpus: Cores of each task.
        memory: Whether workers say how much memory they have; a task that asks others for it waits for ever.
        wait: Whether to wait until all have ended.

    Returns:
        Whether all of them ended well, as far as that is known.
    """
    from hyperqueue import Client, Job
    from hyperqueue.ffi.protocol import ResourceRequest

    job = Job(default_workdir=Path.cwd(), max_fails=None, default_env=dict(os.environ), name="salmu")
    for row in rows:
        # The names that workers give to what they find on their machines; memory is in MiB.
        needs: dict[str, int | float | str] = {"mem": -(-row["memory"] * 10**9 // 2**20)} if memory else {}
        needs |= {"gpus/nvidia": row["cards"]} if row["cards"] else {}
        asked = ResourceRequest(cpus=cpus, resources=needs, min_time=timedelta(minutes=row["minutes"]))
        out, errors = (f"%{{CWD}}/hq-%{{JOB_ID}}/%{{TASK_ID}}.{stream}" for stream in ("stdout", "stderr"))
        words = ["bash", "-c", row["command"]]
        job.program(words, name=row["label"], stdout=out, stderr=errors, resources=asked)
    client = Client(server)
    submitted = client.submit(job)
    return not wait or client.wait_for_jobs([submitted], raise_on_error=False)


def main() -> int:
    """Read a plan from standard input; the exit code is 1 if a line failed."""
    parser = argparse.ArgumentParser(prog="python -m salmu_plan.pack", description=main.__doc__)
    parser.add_argument("--server-dir", type=Path, help="as `hq server start --server-dir` was given it")
    parser.add_argument("--cpus", type=int, default=1, help="cores of each line (default: 1)")
    parser.add_argument("--no-memory", action="store_true", help="workers don't say how much memory they have")
    parser.add_argument("--no-wait", action="store_true", help="come back at once")
    asked = parser.parse_args()
    rows = [json.loads(line) for line in sys.stdin if line.strip()]
    return 0 if not rows or pack(rows, asked.server_dir, asked.cpus, not asked.no_memory, not asked.no_wait) else 1


if __name__ == "__main__":
    sys.exit(main())
