"""Clusters of Ray whose nodes are processes of this machine, and studies on them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

#: Ray's own hook would build every worker an environment of its own where tests are run by uv.
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"


@contextmanager
def cluster(*nodes):
    """A cluster of nodes, each with so many CPUs, or with the resources given; the first is its head."""
    from ray.cluster_utils import Cluster

    made = Cluster()
    try:
        handles = [made.add_node(**({"num_cpus": node} if isinstance(node, int) else node)) for node in nodes]
        yield made, handles
    finally:
        made.shutdown()


def salmu(folder, *words, cache=None, **environment):
    """A `salmu run` as somebody types it, begun."""
    code = "import sys; from salmu_core.cli import main; sys.exit(main())"
    own = {"SALMU_CACHE": str(cache or folder / "cache"), "PYTHONUNBUFFERED": "1", **environment}
    return subprocess.Popen(
        [sys.executable, "-c", code, "run", *map(str, words)],
        cwd=folder,
        env=os.environ | own,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def ended(process, seconds=240):
    """What it has printed, and its exit code."""
    said, _ = process.communicate(timeout=seconds)
    return said, process.returncode


def content(results):
    """Path -> digest of everything that is a result and not a circumstance of its making."""
    found = {}
    for path in sorted(Path(results).rglob("*")):
        name = path.relative_to(results)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            if path.suffix == ".json":
                facts = json.loads(path.read_text())
                kept = {
                    key: facts[key] for key in ("status", "config_hash", "checkpoint_hash", "metrics") if key in facts
                }
                for entry in kept.get("metrics", {}).values():
                    entry.pop("seconds", None)
                found[str(name)] = json.dumps(kept, sort_keys=True)
            else:
                found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def wait_for(condition, seconds=120):
    """Until something is so."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never was"
        time.sleep(0.05)
    return value
