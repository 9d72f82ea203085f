"""Shortened captions, held against open_clip's own encoding of all positions."""

import open_clip
import pytest
import torch
from open_clip.model import CustomTextCLIP

from salmu_core.clip.texts import encode_text

VISION = {"image_size": 16, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8}
TEXT = {"context_length": 20, "vocab_size": 400, "width": 16, "heads": 2, "layers": 2}


def model(kind=open_clip.CLIP, **text):
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return kind(16, VISION, {**TEXT, **text})


def tokens(lengths=(4, 9, 6)):
    generator = torch.Generator().manual_seed(1)
    ids = torch.zeros(len(lengths), 20, dtype=torch.int64)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(1, 398, (length,), generator=generator)
        ids[row, length - 1] = 399
    return ids


def positions_seen(clip, ids, encode):
    """Embeddings, and the length of what the first block of the text tower was given."""
    lengths = []
    transformer = getattr(clip, "text", clip).transformer
    forward = transformer.forward
    transformer.forward = lambda x, **mask: lengths.append(x.shape[1]) or forward(x, **mask)
    try:
        return encode(ids), lengths
    finally:
        del transformer.forward


@pytest.mark.parametrize("kind", [open_clip.CLIP, CustomTextCLIP])
@pytest.mark.parametrize(
    ("texts", "seen"),
    # Many are encoded in four groups, each as long as its longest; they come back in their order.
    [((4, 9, 6), [9]), ((20, 3) * 8 + (4, 9, 6, 5) * 12 + (2, 7), [4, 6, 9, 20])],
)
def test_shorter_is_the_same_with_its_gradients(kind, texts, seen):
    clip, ids = model(kind).double(), tokens(texts)
    clip.train()
    short, lengths = positions_seen(clip, ids, lambda ids: encode_text(clip, ids, normalize=True))
    assert lengths == seen
    whole, lengths = positions_seen(clip, ids, lambda ids: clip.encode_text(ids, normalize=True))
    assert lengths == [20]
    torch.testing.assert_close(short, whole, rtol=1e-9, atol=1e-12)
    weights = [p for name, p in clip.named_parameters() if not name.startswith("visual")]
    ours, theirs = (torch.autograd.grad(x[:, 0].sum(), weights, allow_unused=True) for x in (short, whole))
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    assert len(getattr(clip, "text", clip).positional_embedding) == len(getattr(clip, "text", clip).attn_mask) == 20


@pytest.mark.parametrize(
    "text", [{"no_causal_mask": True}, {"embed_cls": True}, {"pool_type": "last"}, {"pool_type": "first"}]
)
def test_a_tower_that_looks_further_gets_all_positions(text):
    clip, ids = model(CustomTextCLIP, **text), tokens()
    embedded, lengths = positions_seen(clip, ids, lambda ids: encode_text(clip, ids))
    assert lengths == [20 + ("embed_cls" in text)]
    assert torch.equal(embedded, clip.encode_text(ids))


class Mixing(torch.nn.Module):
    """Looks at all positions."""

    def forward(self, x):
        return x + x.mean(dim=1, keepdim=True)


def pooled(clip):
    """Someone's activations, of all positions."""
    clip.transformer.resblocks[0].register_forward_hook(lambda _module, _inputs, x: x + x.mean(dim=1, keepdim=True))


@pytest.mark.parametrize(
    "change",
    [
        lambda clip: clip.attn_mask.zero_(),
        lambda clip: clip.attn_mask[:, -1].zero_(),
        lambda clip: clip.register_buffer("attn_mask", torch.full((20, 20), -1.0)),
        lambda clip: setattr(clip.transformer.resblocks[1], "ls_1", Mixing()),
        pooled,
    ],
    ids=["bidirectional", "last position", "soft mask", "module", "hook"],
)
def test_a_tower_that_was_made_to_look_further_does(change):
    clip, ids = model(), tokens()
    change(clip)
    assert torch.equal(encode_text(clip, ids), clip.encode_text(ids))


def test_the_end_of_a_full_text_is_its_last_position():
    clip, ids = model(), tokens((20, 3))
    assert torch.equal(encode_text(clip, ids), clip.encode_text(ids))


def test_a_model_is_left_as_it_was_when_it_fails():
    clip = model()
    clip.transformer.forward = lambda *_, **__: 1 / 0
    with pytest.raises(ZeroDivisionError):
        encode_text(clip, tokens())
    assert clip.positional_embedding is clip._parameters["positional_embedding"]
    assert not {"positional_embedding", "attn_mask"} & vars(clip).keys()
