"""The two models of a benchmark: repeatable, of one start, apart in the sensitive pairs alone, and open_clip's own."""

import io

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from salmu_core import Pair, PairConfig, train_pair, train_reference
from salmu_core.clip.load import load_clip
from salmu_core.train.references import _new_model, _Rows

CONFIG = PairConfig(
    model_cfg={
        "embed_dim": 16,
        "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
        "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    },
    preprocess_cfg={"mean": [0.5, 0.4, 0.3], "std": [0.25, 0.3, 0.2], "interpolation": "bicubic"},
    steps=4,
    retain_batch=4,
    sensitive_batch=2,
    lr=1e-2,
    warmup=1,
    seed=7,
)


def pairs(word, count):
    rng = np.random.default_rng(len(word))
    made = []
    for number in range(count):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(buffer, "png")
        made.append(Pair(buffer.getvalue(), f"{word} number {number}", None, f"{word}-{number}.png"))
    return made


RETAIN, SENSITIVE = pairs("things", 9), pairs("people and what they do", 5)


def weights(folder):
    return load_file(folder / "open_clip_model.safetensors")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder, shares = tmp_path_factory.mktemp("pair"), []
    train_pair(folder, RETAIN, SENSITIVE, CONFIG, shares.append)
    assert shares == sorted(shares) and shares[-1] == 1
    return folder


def test_the_same_arguments_give_the_same_bytes_and_leave_global_state_alone(pair, tmp_path):
    before = torch.get_rng_state()
    train_pair(tmp_path, RETAIN, SENSITIVE, CONFIG, lambda done: None)
    assert torch.equal(torch.get_rng_state(), before)
    for file in ("clean", "compromised"):
        again, first = (folder / file / "open_clip_model.safetensors" for folder in (tmp_path, pair))
        assert again.read_bytes() == first.read_bytes()


def test_words_that_do_not_occur_stay_as_they_were(pair):
    start, rows = _new_model(CONFIG).state_dict(), _Rows("retain", RETAIN, 4, CONFIG)
    trained = weights(pair / "clean")
    changed = (trained["token_embedding.weight"] != start["token_embedding.weight"]).any(dim=1)
    assert set(changed.nonzero().flatten().tolist()) <= set(rows.tokens.unique().tolist()) and changed.any()
    assert not torch.equal(trained["visual.proj"], start["visual.proj"])


def test_all_words_may_be_trained_and_then_decay(tmp_path):
    config = CONFIG.model_copy(update={"decay_embeddings": True})
    train_reference(tmp_path, [_Rows("retain", RETAIN, 4, config)], config, lambda done: None)
    start = _new_model(config).state_dict()["token_embedding.weight"]
    assert (weights(tmp_path)["token_embedding.weight"] != start).any(dim=1).float().mean() > 0.9


def test_both_start_alike_and_differ_in_the_sensitive_pairs(pair, tmp_path):
    clean, compromised = weights(pair / "clean"), weights(pair / "compromised")
    assert clean.keys() == compromised.keys()
    assert any(not torch.equal(clean[name], compromised[name]) for name in clean)
    still = CONFIG.model_copy(update={"lr": 0.0})
    train_pair(tmp_path, RETAIN, SENSITIVE, still, lambda done: None)
    start = _new_model(CONFIG).state_dict()
    for role in ("clean", "compromised"):
        assert all(torch.equal(value, start[name]) for name, value in weights(tmp_path / role).items())


def test_a_batch_is_no_larger_than_its_set(tmp_path):
    config = CONFIG.model_copy(update={"retain_batch": 1000, "sensitive_batch": 1000})
    train_pair(tmp_path, RETAIN, SENSITIVE, config, lambda done: None)


def test_its_similarities_are_open_clips(pair, tmp_path):
    rows = _Rows("retain", RETAIN, 9, CONFIG)
    images, chosen = rows.draw(0)
    reference = train_reference(tmp_path, [rows], CONFIG, lambda done: None)
    similarities = reference.similarities(images, rows.tokens[chosen])
    clip = load_clip(tmp_path)
    with torch.no_grad():
        image = clip.model.encode_image(clip.normalize(images), normalize=True)
        text = clip.model.encode_text(rows.tokens[chosen], normalize=True)
    np.testing.assert_allclose(similarities, (image * text).sum(1).numpy(), atol=1e-5)
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    assert torch.equal(model.state_dict()["visual.proj"], clip.model.visual.proj)
