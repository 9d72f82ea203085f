"""A published benchmark: where its parts lie once they are here, and how to get them."""

from __future__ import annotations

from salmu_core.benchmark.manifest import Manifest
from salmu_core.benchmark.sources import Sources
from salmu_core.contract.specs import BenchmarkSpec


def how_to_get(spec: BenchmarkSpec, tried: bool = False) -> str:
    """Sentences for whoever lacks a release, or a part of it.

    Args:
        tried: Whether `salmu download` is what lacks it.
    """
    assert spec.release is not None
    repositories = ", ".join(repo.repo_id for repo in spec.release.repositories.values())
    fetch = f"`salmu download {spec.name}` fetches and checks it ({repositories}). "
    return (
        f"{'' if tried else fetch}Where no hub can be reached, copy the Hugging Face cache (the folder HF_HOME names, "
        f"by default ~/.cache/huggingface) from a machine that has it and run `salmu download {spec.name}` there; or "
        "lay the files out in a folder by hand and give --benchmark PATH. "
        f"{'' if tried else spec.release.bring}"
    ).strip()


def release_sources(spec: BenchmarkSpec, manifest: Manifest) -> Sources:
    """Where the parts of a downloaded release lie; what must be in them is the declaration's to say."""
    release = spec.release
    assert release is not None
    others = [f"{role} at {lies.revision}" for role, lies in manifest.pinned.items() if lies.revision != lies.declared]
    notice = f"Other revisions than the published ones: {', '.join(others)}. {spec.notice}".strip() if others else ""
    return Sources(
        name=spec.name,
        data=str(manifest.pinned["data"].folder),
        zeroshot=manifest.zeroshot or "zeroshot",
        num_train=release.num_train,
        notice=notice or spec.notice,
        rows=release.rows,
        identities=release.identities,
        metrics=release.metrics,
    )
