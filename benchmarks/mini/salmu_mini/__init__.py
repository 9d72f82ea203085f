"""The embedded benchmark `mini`: a fictitious world with the structure of SALMUBench, built on two cores."""

from __future__ import annotations

from pathlib import Path

from salmu_core import Band, BenchmarkSpec, Progress, hookimpl

#: What makes a world fit for use: a leak worth forgetting, a Clean model that knows nothing, and knowledge to lose.
BANDS = (
    Band(model="compromised", figure="RetFail_MRR", low=0.2, high=0.5),
    Band(model="compromised", figure="RetFail_R@1", low=0.1),
    Band(model="clean", figure="RetFail_MRR", high=0.003),
    Band(model="compromised", figure="ACS", low=0.92),
    Band(model="clean", figure="ACS", high=0.62),
    Band(model="compromised", figure="GenKnow", low=0.75),
    Band(model="clean", figure="GenKnow", low=0.75),
)


def _build(folder: Path, world: int, progress: Progress) -> None:
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
            bands=BANDS,
            build=_build,
        )
    ]
