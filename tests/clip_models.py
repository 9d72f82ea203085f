"""Small models of every kind open_clip has, and what open_clip and this project make of them."""

import json

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file

VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 8, "patch_size": 8}
TEXT = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
KINDS = {
    "vit": {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT},
    "quick gelu": {"embed_dim": 16, "quick_gelu": True, "vision_cfg": VISION, "text_cfg": TEXT},
    "resnet": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
        "text_cfg": TEXT,
    },
    "not square": {"embed_dim": 16, "vision_cfg": {**VISION, "image_size": [32, 16]}, "text_cfg": TEXT},
    "custom text, bias": {
        "embed_dim": 16,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": VISION,
        "text_cfg": {**TEXT, "no_causal_mask": True, "pool_type": "last", "proj_bias": True},
    },
    "timm": {
        "embed_dim": 64,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": {"timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear", "image_size": 160},
        "text_cfg": {**TEXT, "tokenizer_kwargs": {"clean": "canonicalize"}},
    },
    "timm convolutions": {
        "embed_dim": 16,
        "vision_cfg": {"timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "", "image_size": 160},
        "text_cfg": TEXT,
    },
    "coca": {
        "embed_dim": 16,
        "custom_text": True,
        "vision_cfg": {**VISION, "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "text_cfg": {**TEXT, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {**TEXT, "mlp_ratio": 2, "attn_pooler_heads": 2},
    },
}
PREPROCESS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "interpolation": "bilinear", "resize_mode": "squash"}
CAPTIONS = ["A photo, of a CAT!", "Zoë lives in 東京", " ".join(map(str, range(100)))]


def photo(width=53, height=37):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def foreign(folder, config, seed=0):
    """A model folder as others write them: weights and config, nothing else."""
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file({k: v.clone() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return folder


@torch.no_grad()
def by_open_clip(folder):
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(CAPTIONS)
    model.eval()
    pixels = preprocess(photo())[None]
    return model.encode_image(pixels, normalize=True), model.encode_text(tokens, normalize=True)


@torch.no_grad()
def by_us(clip):
    pixels = clip.normalize(torch.from_numpy(clip.to_pixels(photo())[None]))
    return (
        clip.model.encode_image(pixels, normalize=True),
        clip.model.encode_text(clip.tokenize(CAPTIONS), normalize=True),
    )


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
