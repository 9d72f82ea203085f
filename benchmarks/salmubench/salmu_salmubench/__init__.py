"""SALMUBench as its authors released it: where it lies, what must be in it, and what its two models score.

Selvas-Sala, Kang, Gomez, "SALMUBench: A Benchmark for Sensitive Association-Level Multimodal Unlearning", CVPR 2026,
https://arxiv.org/abs/2603.26316.
"""

from __future__ import annotations

from salmu_core import Band, BenchmarkSpec, HubRepo, Release, hookimpl
from salmu_salmubench.adaptation import SETTINGS
from salmu_salmubench.published import NOTES, PUBLISHED, TOLERANCE, TOLERANCES

#: The first digits of the commit that the published figures were measured on.
DATA_REVISION = "b76aa388"

DATA = HubRepo(
    repo_id="cvc-mmu/salmubench-512-redistributed",
    kind="dataset",
    revision=DATA_REVISION,
    files=(
        "data/forget-*.parquet",
        "data/holdout_association-*.parquet",
        "data/holdout_identity-*.parquet",
        "data/retain_synth-*.parquet",
        "identities_metadata.json",
        "sensitive_set_captions_metadata.json",
        "sensitive_set_generic_captions.json",
        "fragile_set_ids.json",
        "fragile_set_all_similarities.json",
    ),
)
#: What open_clip reads beside the weights, as far as a repository has it.
_AROUND = ("open_clip_config.json", "tokenizer*.json", "vocab.json", "merges.txt", "special_tokens_map.json")
CLEAN = HubRepo(
    repo_id="cvc-mmu/clip-vit-b-16-salmu-clean", kind="model", files=("open_clip_model.safetensors", *_AROUND)
)
COMPROMISED = HubRepo(
    repo_id="cvc-mmu/clip-vit-b-16-salmu-compromised", kind="model", files=("open_clip_pytorch_model.bin", *_AROUND)
)

RELEASE = Release(
    data=DATA,
    clean=CLEAN,
    compromised=COMPROMISED,
    rows={
        "forget": 30_468,
        "forget_identity": 15_342,
        "forget_association": 15_126,
        "holdout_association": 14_943,
        "holdout_identity": 14_642,
        "retain_synth": 16_741,
    },
    identities={"forget": 580, "forget_identity": 193, "holdout_association": 387, "holdout_identity": 194},
    num_train=400_000_000,
    metrics={name: {"draw": "rows"} for name in ("RetFail", "InterIdRet", "IntraIdRet")},
    bring="GenKnow wants ImageNet-1k's validation set, which may not be passed on: make it a webdataset in "
    "CLIP_benchmark's layout (classnames.txt, zeroshot_classification_templates.txt, test/*.tar) and give its folder "
    "by --zeroshot PATH; without it GenKnow is not measured, and everything else is.",
)

BANDS = tuple(
    Band.around(model, figure, published, TOLERANCES.get(figure, TOLERANCE), NOTES.get(figure, ""))
    for model, figures in PUBLISHED.items()
    for figure, published in figures.items()
)


@hookimpl
def salmu_benchmarks() -> list[BenchmarkSpec]:
    """Declares `salmubench`."""
    return [
        BenchmarkSpec(
            name="salmubench",
            version=DATA_REVISION,
            summary="The released SALMUBench: 60,053 sensitive pairs of 774 made-up people, and two ViT-B/16 models.",
            bands=BANDS,
            settings=SETTINGS,
            release=RELEASE,
        )
    ]
