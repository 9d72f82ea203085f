"""Scoring and the original's embeddings are float32, whatever was set outside."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.benchmark.splits import read_evaluation
from salmu_core.clip.float32 import float32
from salmu_core.clip.load import load_clip
from salmu_core.machine import numerics
from salmu_core.plugins.zoo import discover
from salmu_core.run.session import TrainingSession
from salmu_core.score.embeddings import Embedder, Images


@pytest.fixture
def sloppy():
    """A process in which a method has let products be less than float32, and is inside of bf16."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield
    torch.set_float32_matmul_precision(before)


def test_products_in_the_block_are_float32_and_settings_come_back(sloppy):
    a = torch.randn(128, 128, generator=torch.Generator().manual_seed(0))
    exact = a.double() @ a.double()
    assert (a @ a).dtype == torch.bfloat16
    with float32("cpu"):
        product = a @ a
        if hasattr(torch.backends, "fp32_precision"):
            assert torch.backends.cuda.matmul.fp32_precision == torch.backends.cudnn.conv.fp32_precision == "ieee"
        numerics(torch.device("cpu"))  # reads all of it in the older way
    assert product.dtype == torch.float32 and (product - exact).abs().max() < 1e-4
    assert torch.get_float32_matmul_precision() == "medium" and torch.backends.cudnn.allow_tf32
    with pytest.raises(ZeroDivisionError), float32("cpu"):
        1 / 0  # noqa: B018
    assert torch.get_float32_matmul_precision() == "medium"


def embeddings(tiny):
    data, clip = read_evaluation(tiny, tiny / "zeroshot"), load_clip(tiny / "compromised")
    embedder = Embedder(clip, data, Images(data, clip))
    return embedder.images("forget"), embedder.texts(list(data.base["forget"].captions))


def originals(tiny):
    session = TrainingSession.open(open_benchmark(str(tiny), discover(()), lambda *_: None), Accelerator(cpu=True))
    features = session.pools["forget"].reference_features(np.arange(4))
    return features.image, features.text


@pytest.fixture(scope="module")
def exact(tiny):
    return embeddings(tiny), originals(tiny)


def test_scoring_and_the_original_are_the_same_to_the_bit(exact, sloppy, tiny):
    for ours, theirs in zip((embeddings(tiny), originals(tiny)), exact, strict=True):
        assert all(a.dtype == torch.float32 and torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
