"""The diffusion source, with a tiny pipeline of random weights: the path is real, the pictures are noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from salmu_dataset.countries import Country
from salmu_dataset.diffusion import DiffusionPortraits, generated_size, stored_size
from salmu_dataset.identities import Identity
from salmu_dataset.sources import Settings, load_portraits

from salmu_core import UsageError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WOMAN = Identity(3, Country("CM", "fr_FR"), "female")


def _tokenizer(folder: Path) -> None:
    """A CLIP tokenizer of letters: no merges, and every letter as it is and at the end of a word."""
    letters = [chr(c) for c in range(33, 127)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _pipeline(folder: Path) -> Any:
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    _tokenizer(folder / "letters")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "letters")
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=16,
            intermediate_size=16,
            num_attention_heads=2,
            num_hidden_layers=1,
            vocab_size=len(tokenizer),
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder / "model", safe_serialization=True)
    assert torch.is_grad_enabled()
    return pipeline


def _adapter(folder: Path, unet: Any) -> None:
    """Random weights under the names of the published IP-Adapter files."""
    import torch
    from safetensors.torch import save_file
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    width, embedding, tokens = 16, 8, 4
    encoder = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=16,
            projection_dim=embedding,
            num_attention_heads=2,
            num_hidden_layers=2,
            image_size=32,
            patch_size=8,
        )
    )
    encoder.save_pretrained(folder / "adapter" / "models" / "image_encoder")
    noise = torch.Generator().manual_seed(0)
    weights = {
        "image_proj.proj.weight": torch.randn(tokens * width, embedding, generator=noise),
        "image_proj.proj.bias": torch.randn(tokens * width, generator=noise),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    # Each cross-attention has an odd number of its own, in the order of the processors.
    for place, name in enumerate(unet.attn_processors):
        if name.endswith("attn2.processor"):
            layer = unet.get_submodule(name.removesuffix(".processor"))
            for part in ("k", "v"):
                shape = (layer.to_k.out_features, width)
                weights[f"ip_adapter.{place}.to_{part}_ip.weight"] = torch.randn(shape, generator=noise)
    save_file(weights, folder / "adapter" / "models" / "tiny.safetensors")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("diffusers", reason="diffusers is not installed: pip install salmu-dataset[diffusion]")
    import torch

    folder = tmp_path_factory.mktemp("diffusion")
    with torch.random.fork_rng():
        _adapter(folder, _pipeline(folder).unet)
    return folder


def _source(models: Path, seed: int = 0, **options: str) -> DiffusionPortraits:
    given = {
        "model": str(models / "model"),
        "adapter": str(models / "adapter"),
        "adapter_weights": "tiny.safetensors",
        "resolution": "64",
        "steps": "2",
        "batch": "2",
        "device": "cpu",
    }
    source = load_portraits("diffusion", Settings(seed, 80, {**given, **options}))
    assert isinstance(source, DiffusionPortraits)
    return source


def test_anchor_and_portraits_come_from_the_models_and_follow_the_seed(models: Path) -> None:
    source = _source(models)
    anchor = source.anchor(WOMAN, np.random.default_rng(0))
    assert anchor.image.size == (64, 80)
    made = source.portraits(anchor, range(5))
    assert all(p.image.mode == "RGB" and max(p.image.size) == 80 and p.image.width != p.image.height for p in made)
    assert all("woman" in p.caption for p in made) and len({p.image.tobytes() for p in made}) == 5
    again = _source(models)
    assert again.anchor(WOMAN, np.random.default_rng(0)).image.tobytes() == anchor.image.tobytes()
    assert [p.image.tobytes() for p in again.portraits(anchor, range(5))] == [p.image.tobytes() for p in made]
    other = _source(models, seed=1).anchor(WOMAN, np.random.default_rng(0))
    assert other.image.tobytes() != anchor.image.tobytes()


def test_portraits_are_conditioned_on_the_anchor(models: Path) -> None:
    source = _source(models)
    anchor = source.anchor(WOMAN, np.random.default_rng(0))
    other = type(anchor)(WOMAN, anchor.image.rotate(90).resize(anchor.image.size).point(lambda v: 255 - v))
    assert source.portrait(anchor, 0).image.tobytes() != source.portrait(other, 0).image.tobytes()
    deaf = _source(models, adapter_scale="0")
    assert deaf.portrait(anchor, 0).image.tobytes() == deaf.portrait(other, 0).image.tobytes()


def test_consistency_is_one_with_itself_and_an_anchor_can_follow_a_portrait(models: Path) -> None:
    source = _source(models)
    anchor = source.anchor(WOMAN, np.random.default_rng(0))
    assert source.consistency(anchor, anchor.image) == pytest.approx(1, abs=1e-5)
    assert 0 <= source.consistency(anchor, source.portrait(anchor, 0).image) <= 1
    assert source.anchor(WOMAN, np.random.default_rng(0)).image.tobytes() == anchor.image.tobytes()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "Name a model"),
        ({"model": "owner/name"}, "pinned to a commit"),
        ({"model": "owner/name", "model_revision": "main"}, "pinned to a commit"),
        ({"model": "o/n", "model_revision": COMMIT}, "Name a model"),
        ({"modle": "x"}, "Did you mean 'model'"),
        (
            {"model": "o/n", "model_revision": COMMIT, "adapter": "o/a", "adapter_revision": COMMIT, "steps": "0"},
            "from 1 to 1000",
        ),
        (
            {
                "model": "o/n",
                "model_revision": COMMIT,
                "adapter": "o/a",
                "adapter_revision": COMMIT,
                "adapter_weights": "adapter.bin",
            },
            "only safetensors",
        ),
    ],
)
def test_options_that_cannot_be_are_sentences(options: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        DiffusionPortraits(Settings(0, 224, options))


def test_a_folder_without_a_model_is_a_sentence(models: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read as safetensors"):
        _source(models, model=str(tmp_path)).anchor(WOMAN, np.random.default_rng(0))


def test_sizes_are_never_square() -> None:
    assert generated_size((3, 4), 512) == (384, 512) and stored_size((3, 4), 224) == (168, 224)
    assert generated_size((5, 4), 512) == (512, 408) and stored_size((5, 4), 224) == (224, 179)
