"""Adapters, held against numpy: what they compute, what they train, and what they leave behind."""

import copy

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from clip_models import CAPTIONS, KINDS, PREPROCESS, foreign, photo
from open_clip.model import CLIP, CustomTextCLIP

from salmu_core.clip.load import load_clip
from salmu_core.clip.weights import fingerprint
from salmu_core.contract.config import TrainingConfig
from salmu_core.errors import MethodError
from salmu_core.testing.tiny import tiny_model
from salmu_core.train.adapters import LowRank, adapters, own_weights, parametrized
from salmu_core.train.loop import fit

CONFIG = TrainingConfig(lr=1e-2, weight_decay=0.5)


def custom_model():
    kind = {k: v for k, v in KINDS["custom text, bias"].items() if k != "custom_text"}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return CustomTextCLIP(**kind).eval()


MODELS = {CLIP: tiny_model, CustomTextCLIP: custom_model}


@pytest.fixture(params=MODELS.values(), ids=[kind.__name__ for kind in MODELS])
def model(request):
    return request.param()


def adapted(model, rank=2, where=None, seed=0):
    return adapters(model, rank, where, torch.Generator().manual_seed(seed))


def embeddings(model):
    generator = torch.Generator().manual_seed(7)
    image = torch.randn(3, 3, model.visual.image_size[0], model.visual.image_size[1], generator=generator)
    text = torch.randint(1, 400, (3, model.context_length), generator=generator)
    return model.encode_image(image, normalize=True), model.encode_text(text, normalize=True)


def loss(model):
    image, text = embeddings(model)
    return torch.nn.functional.cross_entropy(10 * image @ text.T, torch.arange(len(image)))


def train(model, steps=3, accelerator=None, **options):
    fit(model, lambda step: loss(model), lambda: steps, CONFIG, accelerator or Accelerator(cpu=True), **options)


def layout(model):
    tensors = [*model.named_parameters(), *model.state_dict().items()]
    kinds = [(name, type(module)) for name, module in model.named_modules()]
    return [(name, tuple(t.shape), t.dtype, getattr(t, "requires_grad", None)) for name, t in tensors], kinds


def arrays(model):
    return {name: p.detach().numpy().copy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("mode", ["train", "eval", "eval without gradients"])
def test_at_the_start_nothing_changes(model, mode):
    model.train(mode == "train")
    with torch.no_grad():
        model.visual.transformer.resblocks[0].mlp.c_fc.weight[0, :3] = torch.tensor([-0.0, 0.0, 1e-30])
    bytes_before, gradients = fingerprint(model), mode != "eval without gradients"
    with torch.set_grad_enabled(gradients):
        # Without gradients, torch chooses another kernel where a weight is frozen, adapters or not.
        before = embeddings(copy.deepcopy(model).requires_grad_(gradients))
        with adapted(model):
            assert sum(isinstance(part, LowRank) for part in model.modules()) > 5
            inside = embeddings(model)
    assert all(torch.equal(a, b) for a, b in zip(before, inside, strict=True))
    assert fingerprint(model) == bytes_before


def test_what_is_merged_is_the_weight_and_the_product_by_numpy_and_nothing_else_moves(model):
    before, was, expected = arrays(model), layout(model), {}
    objects = dict(model.named_parameters())
    with adapted(model):
        train(model)
        for name, part in model.named_modules():
            if isinstance(part, LowRank):
                own = name.replace("parametrizations.", "").rpartition(".")[0]
                up, down = part.up.detach().numpy(), part.down.detach().numpy()
                assert np.abs(up).max() > 0 and up.shape[1] == down.shape[0] == 2
                expected[own] = before[own] + up @ down
        inside = embeddings(model)
        with torch.no_grad():
            fast = embeddings(model)
    after = arrays(model)
    matrices = {name for name, w in before.items() if w.ndim == 2 and "embedding" not in name}
    assert expected.keys() == matrices and len(matrices) > 5
    for name, weight in after.items():
        if name in expected:
            np.testing.assert_allclose(weight, expected[name], rtol=0, atol=1e-6)
            rank = np.linalg.matrix_rank((weight - before[name]).astype(np.float64), tol=1e-5)
            assert rank <= 2 and not np.array_equal(weight, before[name]), name
        else:
            assert weight.tobytes() == before[name].tobytes(), name
    assert layout(model) == was and all(p is objects[name] for name, p in model.named_parameters())
    for a, b, c in zip(inside, fast, embeddings(model), strict=True):
        assert torch.allclose(a, c, atol=1e-6) and torch.allclose(b, c, atol=1e-6)


def test_where_chooses_and_several_fits_share_a_block(model):
    before = arrays(model)
    with adapted(model, where=lambda name: name.endswith("in_proj_weight") and name.startswith("visual.")):
        train(model, 1)
        ups = [part.up.detach().clone() for part in model.modules() if isinstance(part, LowRank)]
        train(model, 2)
        assert not any(
            torch.equal(up, part.up)
            for up, part in zip(ups, (p for p in model.modules() if isinstance(p, LowRank)), strict=True)
        )
    moved = {name for name, w in arrays(model).items() if w.tobytes() != before[name].tobytes()}
    assert moved == {name for name in before if name.startswith("visual.") and name.endswith("in_proj_weight")}
    train(model, 1)
    assert len({name for name, w in arrays(model).items() if w.tobytes() != before[name].tobytes()}) > len(moved)


def test_params_choose_among_adapters_by_the_names_of_their_modules(model):
    before = arrays(model)
    with adapted(model):
        train(model, params=lambda name: name.startswith("visual."))
    moved = {name for name, w in arrays(model).items() if w.tobytes() != before[name].tobytes()}
    assert moved and all(name.startswith("visual.") for name in moved)


def test_blocks_inside_one_another_take_different_matrices(model):
    before, was = arrays(model), layout(model)
    visual = adapted(model, 1, lambda name: name.startswith("visual."))
    text = adapted(model, 3, lambda name: not name.startswith("visual.") and "embedding" not in name)
    with visual, text:
        with pytest.raises(MethodError, match="has one already"), adapted(model):
            pass
        train(model)
    assert layout(model) == was
    for name, weight in arrays(model).items():
        delta = np.linalg.matrix_rank((weight - before[name]).astype(np.float64), tol=1e-5) if weight.ndim == 2 else 0
        assert delta == (0 if delta == 0 and "embedding" in name else min(delta, 1 if "visual." in name else 3))
        if weight.ndim == 2 and "embedding" not in name:
            assert delta > 0, name


def test_after_an_exception_the_model_is_in_order(model):
    was = layout(model)
    with pytest.raises(ZeroDivisionError), adapted(model):
        train(model)
        _ = 1 / 0
    assert layout(model) == was and not any(isinstance(part, LowRank) for part in model.modules())
    with adapted(model):
        train(model)


def test_frozen_weights_stay_frozen_and_copies_work_inside(model):
    model.logit_scale.requires_grad_(False)
    was = layout(model)
    with adapted(model):
        train(model, 1)
        teacher = copy.deepcopy(model)
        for a, b in zip(embeddings(teacher), embeddings(model), strict=True):
            assert torch.equal(a, b)
    assert layout(model) == was


def test_the_weights_below_adapters_have_their_own_names(model):
    before = own_weights(model)
    assert list(before) == [name for name, _ in model.named_parameters()]
    with adapted(model):
        inside = own_weights(model)
    assert inside.keys() == before.keys() and all(inside[name] is p for name, p in before.items())


def test_under_bfloat16_what_is_merged_is_what_was_trained():
    model = tiny_model()
    with adapted(model):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss(model).backward()
            assert model.visual.proj.dtype == torch.float32
        with torch.no_grad():
            for part in model.modules():
                if isinstance(part, LowRank):
                    assert part.up.grad is not None and part.up.grad.dtype == torch.float32
                    part.up.normal_(generator=torch.Generator().manual_seed(1))
            expected = model.visual.proj.clone()
        model.zero_grad(set_to_none=True)
    assert torch.equal(model.visual.proj, expected)


def test_the_start_is_drawn_from_the_generator_with_the_variance_that_is_said():
    draws = []
    for seed in (0, 0, 1):
        model = tiny_model()
        with adapted(model, 16, lambda name: name.endswith("in_proj_weight"), seed):
            parts = [part for part in model.modules() if isinstance(part, LowRank)]
            draws.append(torch.cat([part.down.detach().flatten() for part in parts]))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert draws[0].std().item() == pytest.approx(16**-0.5, rel=0.1)  # the tiny model's matrices have 16 columns


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_takes_them(tmp_path, kind):
    clip = load_clip(foreign(tmp_path / "model", {"model_cfg": KINDS[kind], "preprocess_cfg": PREPROCESS}))
    model, was = clip.model, layout(clip.model)
    image, text = clip.normalize(torch.from_numpy(clip.to_pixels(photo())[None])), clip.tokenize(CAPTIONS)

    def embedded():
        return model.encode_image(image, normalize=True), model.encode_text(text, normalize=True)

    before = embedded()
    with adapted(model, 1):
        assert all(torch.equal(a, b) for a, b in zip(before, embedded(), strict=True))
        with torch.no_grad():
            for part in model.modules():
                if isinstance(part, LowRank):
                    part.up.fill_(0.1)
        inside = embedded()
    for a, b, c in zip(before, inside, embedded(), strict=True):
        assert torch.allclose(b, c, atol=1e-5) and not torch.allclose(a, b, atol=1e-3)
    assert layout(model) == was


def test_they_have_the_type_of_their_weights():
    model = tiny_model().double()
    with adapted(model):
        assert {p.dtype for p in model.parameters()} == {torch.float64}


def test_a_rank_above_a_matrix_is_that_matrix_s():
    model = tiny_model()
    with adapted(model, 1000, lambda name: name == "visual.proj"):
        (block,) = [part for part in model.modules() if type(part).__name__ == "LowRank"]
        assert block.up.shape[1] == block.down.shape[0] == min(model.visual.proj.shape)


@pytest.mark.parametrize(
    ("rank", "where", "words"),
    [
        (0, None, "rank=0.*whole number from 1"),
        (2.0, None, "rank=2.0.*whole number from 1"),
        (1, ".attn.", "give a function of a name"),
        (1, lambda name: "embedding" in name, "selects no matrix; there are .*attn.in_proj_weight"),
        (1, lambda name: name == "text_proj", "selects no matrix; there are .*proj"),
    ],
)
def test_what_makes_no_sense_is_told_and_changes_nothing(rank, where, words):
    model = tiny_model()
    was = layout(model), fingerprint(model)
    with pytest.raises(MethodError, match=words), adapted(model, rank, where):
        pass
    assert (layout(model), fingerprint(model)) == was


class Turned(torch.nn.Module):
    """W -> W plus a vector for each of its rows."""

    def __init__(self, weight):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.zeros(weight.shape[1]))

    def forward(self, weight):
        return weight + self.shift


def turned(model, *names):
    return {name: Turned(model.get_parameter(name)) for name in names}


def test_modules_of_ones_own_are_trained_instead_and_merged(model):
    before, was = arrays(model), layout(model)
    modules = turned(model, "visual.proj", "visual.positional_embedding")
    with parametrized(model, modules):
        assert own_weights(model).keys() == before.keys()
        train(model)
    assert layout(model) == was
    moved = {name for name, weight in arrays(model).items() if weight.tobytes() != before[name].tobytes()}
    assert moved == modules.keys()
    for name, module in modules.items():
        shift = module.shift.detach().numpy()
        assert np.abs(shift).max() > 0
        np.testing.assert_allclose(arrays(model)[name], before[name] + shift, rtol=0, atol=1e-7)


def test_a_module_that_leaves_its_weight_leaves_its_bytes(model):
    with torch.no_grad():
        model.visual.proj[0, :3] = torch.tensor([-0.0, 0.0, 1e-30])
    before = fingerprint(model)
    with parametrized(model, turned(model, "visual.proj")):
        pass
    assert fingerprint(model) == before


def test_modules_on_nothing_are_told_and_change_nothing():
    model = tiny_model()
    was = layout(model), fingerprint(model)
    for modules, words in (({}, "nothing"), ({"visual.projection": Turned(model.visual.proj)}, "'visual.projection'")):
        with pytest.raises(MethodError, match=f"no weight is called '?{words}"), parametrized(model, modules):
            pass
    twice = parametrized(model, turned(model, "visual.proj"))
    with adapted(model), pytest.raises(MethodError, match=r"visual.proj has one already"), twice:
        pass
    assert (layout(model), fingerprint(model)) == was
