"""Clusters of Ray whose nodes are processes of this machine."""

from __future__ import annotations

import os
from contextlib import contextmanager

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
