"""The matrix that a tower ends in, against what the towers of open_clip compute."""

import open_clip
import pytest
import torch

from salmu_core import MethodError, projection
from salmu_core.testing import tiny_model

#: A pooled text tower that ends in a linear layer.
POOLED = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {
        "context_length": 20,
        "vocab_size": 64,
        "width": 24,
        "heads": 2,
        "layers": 1,
        "pool_type": "last",
        "no_causal_mask": True,
        "proj_type": "linear",
    },
}


@pytest.fixture(params=["bare", "linear"])
def model(request):
    if request.param == "bare":
        return tiny_model()
    with torch.random.fork_rng(devices=[]):
        text = open_clip.CustomTextCLIP(16, POOLED["vision_cfg"], POOLED["text_cfg"])
    return text.eval()


def test_embeddings_are_linear_in_it(model):
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    mixing = torch.randn(16, 16, generator=torch.Generator().manual_seed(0))
    inputs = {"image": torch.ones(1, 3, 16, 16), "text": torch.arange(20)[None]}
    for tower, x in inputs.items():
        encode = getattr(model, f"encode_{tower}")
        with torch.no_grad():
            before = encode(x)
            matrix = projection(weights, tower)
            matrix.copy_(matrix @ mixing)
            assert encode(x).numpy() == pytest.approx((before @ mixing).numpy(), abs=1e-4)


def test_a_tower_without_one_or_with_a_bias_says_so():
    linear = {"text_projection.weight": torch.ones(2, 3), "text_projection.bias": torch.ones(2)}
    for weights, tower in (({}, "image"), (linear, "text")):
        with pytest.raises(MethodError, match=f"the {tower} tower ends in no projection without a bias"):
            projection(weights, tower)
