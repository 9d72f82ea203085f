"""Embeddings: the model's own, each computed once, the same bits in any order."""

import io
import itertools

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from salmu_core.benchmark.splits import read_evaluation
from salmu_core.clip.load import load_clip
from salmu_core.errors import MetricError
from salmu_core.score.context import ScoreContext
from salmu_core.score.embeddings import Embedder, Images

SPLITS = ["forget", "holdout_identity", "retain_joint", "fragile_set", "retain_disjoint", "forget_identity", "zeroshot"]


@pytest.fixture(scope="module")
def data(tiny):
    return read_evaluation(tiny, tiny / "zeroshot")


@pytest.fixture(scope="module")
def clip(tiny):
    return load_clip(tiny / "compromised")


def embedder(data, clip):
    return Embedder(clip, data, Images(data, clip))


def test_they_are_open_clips_own(tiny, data, clip):
    name = f"local-dir:{tiny / 'compromised'}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    model.eval()
    ours = embedder(data, clip)
    for split in ("forget", "retain_disjoint"):
        rows, index = data.locate(split)
        images = torch.stack([preprocess(Image.open(io.BytesIO(rows.encoded[i]))) for i in index])
        captions = [rows.captions[i] for i in index]
        with torch.no_grad():
            image, text = model.encode_image(images, normalize=True), model.encode_text(tokenizer(captions), True)
        assert (ours.images(split) - image).abs().max() < 1e-5
        assert (ours.texts(captions) - text).abs().max() < 1e-5


def test_any_order_gives_the_same_bits_and_nothing_is_embedded_twice(data, clip):
    def everything(order):
        made = embedder(data, clip)
        found = {}
        for split in order:
            found[split] = made.images(split)
            if split != "zeroshot":
                rows, index = data.locate(split)
                found[split, "text"] = made.texts([rows.captions[i] for i in index])
        return found, made

    reference, first = everything(SPLITS)
    for order in itertools.islice(itertools.permutations(SPLITS), 0, 5040, 997):
        found, made = everything(order)
        assert all(torch.equal(reference[key], found[key]) for key in reference)
        assert (made.images_encoded, made.captions_encoded) == (first.images_encoded, first.captions_encoded)
    rows = sum(len(data.locate(s)[1]) for s in ("forget", "holdout_identity"))
    retain = len(data.base["retain_synth"])
    assert first.images_encoded == rows + retain + len(data.zeroshot.keys)
    captions = {c for s in ("forget", "holdout_identity", "retain_synth") for c in data.base[s].captions}
    assert first.captions_encoded <= len(captions)


def test_asking_for_less_gives_the_same_bits(data, clip):
    whole = embedder(data, clip).images("forget")
    rows, index = data.locate("forget_identity")
    assert torch.equal(embedder(data, clip).images("forget_identity"), whole[torch.from_numpy(index)])
    captions = list(rows.captions)
    assert torch.equal(embedder(data, clip).texts(captions[3:5]), embedder(data, clip).texts(captions)[3:5])


def test_captions_with_equal_tokens_are_one(data, clip):
    made = embedder(data, clip)
    long = "a very long caption " * 30
    found = made.texts([long + "one", "short", long + "another"])
    assert made.captions_encoded == 2
    assert torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])


def test_embeddings_are_normalised(data, clip):
    norms = torch.linalg.vector_norm(embedder(data, clip).images("zeroshot"), dim=1)
    assert np.allclose(norms, 1, atol=1e-5)


def test_a_metric_gets_only_what_it_declares(data, clip):
    ctx = ScoreContext(embedder(data, clip), ("forget",), "Nosy")
    assert len(ctx.embeddings("forget").image) == len(ctx.captions("forget")) == len(ctx.facts("forget"))
    assert len(ctx.generic_captions("forget")) == len(ctx.captions("forget"))
    for ask in (ctx.embeddings, ctx.images, ctx.captions, ctx.identity_ids, ctx.facts, ctx.generic_captions):
        with pytest.raises(MetricError, match="Nosy reads split 'holdout_identity'"):
            ask("holdout_identity")
    with pytest.raises(MetricError, match="zeroshot"):
        ctx.zeroshot  # noqa: B018
