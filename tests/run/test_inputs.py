"""Nothing of the data is computed twice, and what was kept is what would have been computed, to the last bit."""

import dataclasses

import numpy as np
import pytest
import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from safetensors.torch import load_file

from salmu_core import Features, MethodSpec, TrainingConfig
from salmu_core.benchmark.splits import read_training
from salmu_core.benchmark.tokens import identity_of, tokenize
from salmu_core.clip.load import load_clip
from salmu_core.clip.model import Clip
from salmu_core.clip.weights import fingerprint
from salmu_core.losses import contrastive_loss
from salmu_core.run.inputs import Inputs, Source
from salmu_core.testing import run_method

FACTS = {"name": "a-method", "summary": "A test.", "paper": "https://example.org"}
CPU = torch.device("cpu")
#: Embeds the forget set of a benchmark, in whatever cache its environment names, and writes them to a file.
ELSEWHERE = """
import sys
from pathlib import Path
import numpy as np, torch
from safetensors.torch import save_file
from salmu_core.benchmark.splits import read_training
from salmu_core.clip.load import load_clip
from salmu_core.clip.weights import fingerprint
from salmu_core.run.inputs import Inputs, Source
torch.set_num_threads(1)
clip = load_clip(Path(sys.argv[1]) / "compromised")
source = Source(Inputs(read_training(Path(sys.argv[1])).forget, clip), clip, torch.device("cpu"))
source.recall(fingerprint(clip.model))
features = source.reference_features(np.arange(len(source)))
source.keep()
save_file({"image": features.image, "text": features.text}, sys.argv[2])
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)
    return tmp_path / "cache"


def source(tiny, part=None, clip=None):
    clip = clip or load_clip(tiny / "compromised")
    made = Source(Inputs(read_training(tiny).forget, clip), clip, CPU, part)
    made.recall(fingerprint(clip.model))
    return made


def embed(made):
    features = made.reference_features(np.arange(len(made)))
    made.keep()
    return features


def entries(cache, kind="embeddings"):
    return sorted((cache / kind).glob("*" if kind == "tokens" else "*/*"))


def computed(monkeypatch):
    """How many chunks are embedded from now on."""
    sizes, embed = [], Source._embed
    monkeypatch.setattr(Source, "_embed", lambda self, rows: sizes.append(len(rows)) or embed(self, rows))
    return sizes


def test_embeddings_of_another_process_are_those_of_this_one_to_the_bit(salmu, tiny, cache, tmp_path, monkeypatch):
    clip, sizes = load_clip(tiny / "compromised"), computed(monkeypatch)
    own = Source(Inputs(read_training(tiny).forget, clip), clip, CPU)
    direct = own.reference_features(np.arange(len(own)))
    own.keep()
    assert len(sizes) == 1 and not entries(cache)  # nobody has said which model it is
    file = tmp_path / "elsewhere"
    (salmu.folder / "elsewhere.py").write_text(ELSEWHERE)
    done = salmu(str(tiny), str(file), module="elsewhere")
    assert done.returncode == 0, done.stderr
    there = Features(**load_file(file))
    hit = embed(source(tiny))
    assert len(sizes) == 1 and len(entries(cache)) == 1
    for side in ("image", "text"):
        here, missed, found = (getattr(features, side) for features in (direct, there, hit))
        assert torch.equal(here, missed) and torch.equal(here, found) and here.dtype == found.dtype


def test_other_rows_captions_weights_or_numerics_are_embedded_anew(tiny, cache, monkeypatch):
    sizes = computed(monkeypatch)
    first = embed(source(tiny))
    part = embed(source(tiny, np.array([3, 1, 2])))
    torch.testing.assert_close(part.image, first.image[[3, 1, 2]])
    assert sizes == [len(first.image), 3]
    other = load_clip(tiny / "compromised")
    with torch.no_grad():
        other.model.logit_scale.add_(1)  # which shows in no embedding, and need not be known to
    embed(source(tiny, clip=other))
    rows = dataclasses.replace(read_training(tiny).forget, captions=("a photo",) * len(first.image))
    clip = load_clip(tiny / "compromised")
    recaptioned = Source(Inputs(rows, clip), clip, CPU)
    recaptioned.recall(fingerprint(clip.model))
    changed = embed(recaptioned)
    assert not torch.equal(changed.text, first.text) and torch.equal(changed.image, first.image)
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    embed(source(tiny))
    assert sizes[2:] == [len(first.image)] * 3 and len(entries(cache)) == 5


def test_a_damaged_entry_is_made_again_without_a_word(tiny, cache, monkeypatch, caplog):
    first, sizes = embed(source(tiny)), computed(monkeypatch)
    (path,) = entries(cache)
    content = path.read_bytes()
    path.write_bytes(content[:-5] + b"\0\0\x80?" + content[-1:])
    again = embed(source(tiny))
    assert torch.equal(first.text, again.text) and torch.equal(first.image, again.image)
    assert len(sizes) == 1 and path.read_bytes() == content and not caplog.records


def run(tiny, unlearn, seed=0):
    spec = MethodSpec(**FACTS, unlearn=unlearn, config=TrainingConfig)
    return run_method(spec, tiny, budget=2, seed=seed, batch_size=8, lr=1e-3)


def attracted(ctx):
    """Look at 8 forget pairs twice, and go where the original was."""
    batch = next(ctx.batches("forget", 8))
    for _ in range(2):
        original = ctx.reference_features(batch)
    ctx.fit(lambda c, step: contrastive_loss(c, step.forget) + (original.image.mean() - 1).square(), steps=2)


def test_a_run_with_a_warm_cache_is_the_run_with_a_cold_one(tiny, cache, monkeypatch):
    cold, session = run(tiny, attracted)
    sizes = computed(monkeypatch)
    warm, _ = run(tiny, attracted)
    assert len(entries(cache)) == 1 and not sizes
    assert fingerprint(cold.model) == fingerprint(warm.model)
    assert cold.ledger.reference_samples == warm.ledger.reference_samples == 8
    ledgers = [outcome.ledger.model_dump(exclude={"seconds", "peak_memory_bytes"}) for outcome in (cold, warm)]
    assert ledgers[0] == ledgers[1] and len(session.pools["forget"]) > 8


def test_what_a_method_did_to_the_original_is_nobodys_later(tiny, cache):
    def reach_past(ctx):
        with torch.no_grad():
            for parameter in ctx._pools["forget"]._clip.model.parameters():
                parameter.add_(0.1)
        attracted(ctx)

    outcome, _ = run(tiny, reach_past)
    assert outcome.status == "altered" and not entries(cache)


def test_a_run_that_crashed_has_embedded_for_others(tiny, cache):
    def crash(ctx):
        attracted(ctx)
        raise RuntimeError("too late")

    assert run(tiny, crash)[0].status == "crashed" and len(entries(cache)) == 1


@pytest.fixture
def tokenised(monkeypatch):
    """How many captions are tokenised from now on."""
    counts, plain = [], Clip.tokenize
    monkeypatch.setattr(Clip, "tokenize", lambda self, texts: counts.append(len(texts)) or plain(self, texts))
    return counts


CAPTIONS = [f"Person {k}\u2019s caf\u00e9 no. {k}" for k in range(40)]


def test_tokens_are_made_once_for_each_text_and_only_by_tokenizers_that_are_known(tiny, cache, tokenised):
    clip = load_clip(tiny / "compromised")
    tokenised.clear()
    expected = clip.tokenizer(CAPTIONS)
    for _ in range(2):
        found = tokenize(clip, CAPTIONS)
        assert torch.equal(found, expected) and found.dtype == expected.dtype
        identity_of.cache_clear()
    assert tokenised == [40] and len(entries(cache, "tokens")) == 1
    assert torch.equal(tokenize(clip, CAPTIONS[1:]), expected[1:]) and tokenised == [40, 39]
    tokenize(dataclasses.replace(clip, tokenizer=lambda texts: clip.tokenizer(texts)), CAPTIONS)
    assert tokenised == [40, 39, 40] and len(entries(cache, "tokens")) == 2


def test_tokenizers_are_told_apart_by_all_that_shows_in_tokens():
    same = [identity_of(SimpleTokenizer()) for _ in range(2)]
    others = [
        SimpleTokenizer(context_length=20),
        SimpleTokenizer(clean="whitespace"),
        SimpleTokenizer(additional_special_tokens=["<x>"]),
    ]
    other = SimpleTokenizer()
    other.bpe_ranks = dict(zip(reversed(other.bpe_ranks), range(len(other.bpe_ranks)), strict=True))
    assert len({*same, *map(identity_of, [*others, other])}) == 5 and same[0] == same[1]
    assert identity_of(SimpleTokenizer(reduction_mask="random")) is None


def test_a_tokenizer_of_hugging_face_is_known_by_its_content(tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")

    def made(*words):
        plain = tokenizers.Tokenizer(
            tokenizers.models.WordLevel({w: n for n, w in enumerate(["[PAD]", "[UNK]", *words])}, unk_token="[UNK]")
        )
        plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        fast = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]", pad_token="[PAD]")
        folder = tmp_path / "-".join(words)
        fast.save_pretrained(folder)
        return HFTokenizer(str(folder), context_length=9)

    one, again, other = made("a", "photo"), made("a", "photo"), made("photo", "a")
    assert again(["a photo"]).tolist() != other(["a photo"]).tolist()  # its last call is no part of what it is
    assert identity_of(one) == identity_of(again) != identity_of(other)
