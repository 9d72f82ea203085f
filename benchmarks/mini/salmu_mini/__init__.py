"""The embedded benchmark `mini`: a fictitious world with the structure of SALMUBench, built on two cores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from salmu_core import BenchmarkSpec, hookimpl


def _build(folder: Path, world: int, progress: Callable[[str, float], None]) -> None:
    from salmu_mini.build import build

    build(folder, world, progress)


@hookimpl
def salmu_benchmarks() -> list[BenchmarkSpec]:
    """Declares `mini`."""
    return [
        BenchmarkSpec(
            name="mini",
            version="1",
            summary="Fictitious personas, drawn portraits and two small CLIP models, built here in minutes.",
            notice="An invented miniature: its figures show directions, not what SALMUBench would measure.",
            build=_build,
        )
    ]
