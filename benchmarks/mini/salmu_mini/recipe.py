"""Every size and setting of the benchmark in one frozen record; the default is `mini` itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from salmu_mini.seeds import seed_of

if TYPE_CHECKING:
    from salmu_core import PairConfig


@dataclass(frozen=True)
class Recipe:
    """How large a world is and how its two models are trained. Another recipe is another benchmark."""

    #: Personas in all, wholly forgotten, and wholly held out; the rest are half forgotten, by attribute.
    personas: int = 96
    forgotten: int = 24
    held_out: int = 24
    #: Pairs an attribute, each with a phrasing and a portrait of its own.
    pairs_per_attribute: int = 4
    #: Released retain pairs: scenes, strangers with a visual caption, and portraits of each forget persona.
    retain_scenes: int = 2400
    retain_people: int = 1000
    joint_per_persona: int = 3
    #: Pairs that only pre-training sees (the part of the web pairs).
    pool_scenes: int = 8000
    pool_people: int = 1400
    #: Papers with names and numbers on them (pool only), and how many names there are.
    pool_documents: int = 1800
    homonyms: int = 200
    #: Share of the strangers' released captions that counts as fragile.
    fragile_share: float = 0.5
    test_per_class: int = 24
    #: Longer side of stored pictures, in pixels.
    portrait_side: int = 128
    scene_side: int = 96
    #: The architecture.
    image_size: int = 48
    patch_size: int = 12
    vision_width: int = 64
    vision_layers: int = 3
    text_width: int = 64
    text_layers: int = 1
    embed_dim: int = 64
    context_length: int = 44
    #: The training.
    steps: int = 680
    retain_batch: int = 208
    sensitive_batch: int = 36
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    warmup: int = 60
    #: Inverse temperature at the start; it is learned, as usual, and ends near 35.
    logit_scale: float = 30.0
    #: Weight of the term that keeps the mean cosine of wrong pairs near 0.
    centring: float = 20.0

    def pair_config(self, world: int) -> PairConfig:
        """How the core trains the two models of a world."""
        import open_clip

        from salmu_core import PairConfig

        return PairConfig(
            model_cfg=self.model_cfg(),
            preprocess_cfg={
                "mean": list(open_clip.OPENAI_DATASET_MEAN),
                "std": list(open_clip.OPENAI_DATASET_STD),
                "interpolation": "bicubic",
                "resize_mode": "shortest",
            },
            seed=seed_of(world, "initial weights"),
            steps=self.steps,
            retain_batch=self.retain_batch,
            sensitive_batch=self.sensitive_batch,
            init_logit_scale=self.logit_scale,
            lr=self.learning_rate,
            warmup=self.warmup,
            weight_decay=self.weight_decay,
            centring=self.centring,
        )

    def model_cfg(self) -> dict[str, Any]:
        """The `model_cfg` of open_clip's configuration."""
        return {
            "embed_dim": self.embed_dim,
            "vision_cfg": {
                "image_size": self.image_size,
                "patch_size": self.patch_size,
                "width": self.vision_width,
                "layers": self.vision_layers,
                "head_width": 32,
                "mlp_ratio": 4.0,
            },
            "text_cfg": {
                "context_length": self.context_length,
                "vocab_size": 49408,
                "width": self.text_width,
                "heads": max(1, self.text_width // 32),
                "layers": self.text_layers,
            },
        }


DEFAULT = Recipe()
