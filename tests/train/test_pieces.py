"""Batches encoded in pieces, held against autograd on the same pieces, or on the batch as a whole."""

import weakref

import numpy as np
import open_clip
import pytest
import torch
from torch import nn

from salmu_core.errors import MethodError
from salmu_core.testing.tiny import tiny_config, tiny_model
from salmu_core.train.pieces import Pieces

IMAGES = torch.randn(7, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def gradients(model, value):
    found = torch.autograd.grad(value, list(model.parameters()), allow_unused=True)
    return [None if g is None else g.clone() for g in found]


def largest_difference(ours, theirs):
    assert [g is None for g in ours] == [g is None for g in theirs]
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if b is not None]
    return max(float((a - b).abs().max() / b.abs().max().clamp_min(1e-3)) for a, b in pairs)


def coupled(embeddings):
    """A loss whose gradient at each row depends on all others."""
    return (embeddings @ embeddings.T).logsumexp(1).sum()


def with_dropped_patches():
    config = tiny_config()["model_cfg"]
    vision = {**config["vision_cfg"], "patch_dropout": 0.5}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return open_clip.model.CLIP(config["embed_dim"], vision, config["text_cfg"])


def test_both_passes_of_a_piece_drop_the_same_patches():
    model = with_dropped_patches().train()
    state = torch.get_rng_state()
    ours = gradients(model, coupled(Pieces(model, 3).encode(model.encode_image, IMAGES)))
    torch.set_rng_state(state)
    parts = [model.encode_image(piece, normalize=True) for piece in IMAGES.split(3)]
    after = torch.get_rng_state()
    theirs = gradients(model, coupled(torch.cat(parts)))
    assert largest_difference(ours, theirs) < 1e-5
    again = gradients(model, coupled(Pieces(model, 3).encode(model.encode_image, IMAGES)))
    assert largest_difference(again, theirs) > 1e-3, "nothing was dropped"
    torch.set_rng_state(state)
    gradients(model, coupled(Pieces(model, 3).encode(model.encode_image, IMAGES)))
    assert torch.equal(torch.get_rng_state(), after), "the second pass moved the generator"


def test_the_second_pass_has_the_precision_of_the_first():
    model, seen = tiny_model(), []
    model.visual.transformer.register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        value = coupled(Pieces(model, 3).encode(model.encode_image, IMAGES))
    ours = gradients(model, value)
    assert seen == [torch.bfloat16] * 6
    with torch.autocast("cpu", torch.bfloat16):
        whole = coupled(model.encode_image(IMAGES, normalize=True))
    assert largest_difference(ours, gradients(model, whole)) < 0.05


def held(size):
    """Floats that autograd keeps, beside the batch and the weights, until its gradient is asked for."""
    model, kept = tiny_model(), []

    def keep(tensor):
        given = tensor.untyped_storage().data_ptr() == IMAGES.untyped_storage().data_ptr()
        if not given and not isinstance(tensor, nn.Parameter):
            kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        Pieces(model, size).encode(model.encode_image, IMAGES)
    return sum(kept)


def test_no_activations_wait_for_the_gradient():
    assert held(1) < held(0) / 10


def test_a_gradient_of_a_gradient_passes_through_pieces():
    model = tiny_model()

    def sharpness(size):
        value = coupled(Pieces(model, size).encode(model.encode_image, IMAGES))
        (slope,) = torch.autograd.grad(value, [model.visual.proj], create_graph=True)
        return value + slope.square().sum()

    assert largest_difference(gradients(model, sharpness(2)), gradients(model, sharpness(0))) < 1e-5


def test_without_gradients_nothing_is_encoded_twice():
    model, calls = tiny_model(), []
    model.visual.register_forward_hook(lambda module, given, output: calls.append(len(given[0])))
    with torch.no_grad():
        embedded = Pieces(model, 3).encode(model.encode_image, IMAGES)
    assert calls == [3, 3, 1] and not embedded.requires_grad
    np.testing.assert_allclose(embedded.norm(dim=1), 1, atol=1e-5)


def test_models_that_normalise_over_batches_are_not_divided():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(768), nn.Linear(768, 4)).train()

    def tower(images, normalize):
        return model(images)

    assert len(Pieces(model, 7).encode(tower, IMAGES)) == 7
    with pytest.raises(MethodError, match=r"BatchNorm.*leave --micro-batch out"):
        Pieces(model, 3).encode(tower, IMAGES)
    assert len(Pieces(model.eval(), 3).encode(tower, IMAGES)) == 7


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
)
def test_pieces_are_halved_until_memory_is_enough(error):
    model, undone = tiny_model(), []
    pieces = Pieces(model)

    def attempt(fits):
        pieces.encode(model.encode_image, IMAGES)
        if not 0 < pieces.size <= fits:
            raise error
        return pieces.size

    assert pieces.enough(lambda: attempt(2), lambda: undone.append(pieces.size)) == 2
    assert undone == [4, 2] and pieces.size == 2
    with pytest.raises(MethodError, match=r"one pair embedded at a time: choose a smaller batch_size") as raised:
        pieces.enough(lambda: attempt(0))
    assert raised.value.__cause__ is error and pieces.size == 1


def test_it_is_the_batch_that_does_not_fit_which_is_halved_and_no_larger_one_before():
    model, sizes = tiny_model(), []
    pieces = Pieces(model)
    with torch.no_grad():
        pieces.encode(model.encode_image, torch.cat([IMAGES] * 4))

    def attempt():
        pieces.encode(model.encode_image, IMAGES)
        sizes.append(pieces.size)
        if len(sizes) < 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    pieces.enough(attempt)
    assert len(IMAGES) == 7 and sizes == [0, 4]


def test_other_errors_are_not_taken_for_want_of_memory():
    pieces = Pieces(tiny_model(), 4)
    with pytest.raises(RuntimeError, match="shapes"):
        pieces.enough(lambda: (_ for _ in ()).throw(RuntimeError("shapes can't be multiplied")))
    assert pieces.size == 4
    with pytest.raises(MethodError, match=r"embeds nothing by ctx.features\(\)"):
        Pieces(tiny_model()).enough(lambda: (_ for _ in ()).throw(torch.OutOfMemoryError("out of memory")))


def test_memory_of_a_failed_attempt_is_free_before_the_next():
    model, alive = tiny_model(), []
    pieces = Pieces(model, 4)

    def attempt():
        embedded = pieces.encode(model.encode_image, IMAGES)
        if pieces.size > 1:
            assert not [ref for ref in alive if ref() is not None]
            alive.append(weakref.ref(embedded))
            raise torch.OutOfMemoryError("out of memory")
        return len(embedded)

    assert pieces.enough(attempt) == 7 and len(alive) == 2


def test_batches_go_through_a_tower_together_unless_it_looks_at_their_company():
    calls = []

    def tower(inputs, normalize):
        calls.append(len(inputs))
        return model(inputs)

    batches = [torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(n)) for n in (4, 6)]
    for layers, expected in (([nn.Linear(768, 4)], [10]), ([nn.BatchNorm1d(768)], [4, 6])):
        model = nn.Sequential(nn.Flatten(), *layers).train()
        calls.clear()
        parts = Pieces(model).encode_together(tower, batches)
        assert calls == expected
        for part, batch in zip(parts, batches, strict=True):
            torch.testing.assert_close(part, model(batch))
