"""What the optimizer gets: masked gradients, and what a transform makes of each term's."""

import math

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from salmu_core import masked
from salmu_core.contract.config import TrainingConfig
from salmu_core.errors import MethodError
from salmu_core.testing.tiny import tiny_model
from salmu_core.train.loop import fit as fit_loop
from salmu_core.train.observer import Observer
from salmu_core.train.pieces import Pieces

DECAYING = TrainingConfig(lr=1e-2, warmup=0.1, weight_decay=0.5)
IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
TEXTS = torch.randint(1, 400, (4, 20), generator=torch.Generator().manual_seed(0))


def fit(model, objective, steps=4, config=DECAYING, accelerator=None, **options):
    return fit_loop(model, objective, lambda: steps, config, accelerator or Accelerator(cpu=True), **options)


def terms_of(model, pieces=None):
    """Two terms, both of all weights, and one of the temperature alone."""
    pieces = pieces or Pieces(model)

    def objective(step):
        a = pieces.encode(model.encode_image, IMAGES.roll(step, 0))
        b = pieces.encode(model.encode_text, TEXTS)
        return {"pairs": (a * b).sum(-1).mean(), "spread": (a @ b.T).square().sum(), "scale": model.logit_scale * 0.1}

    return objective


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def trained(steps=4, accelerator=None, config=DECAYING, size=0, **options):
    model = tiny_model()
    pieces = Pieces(model, size)
    fit(model, terms_of(model, pieces), steps, config, accelerator, pieces=pieces, **options)
    return weights(model)


def same(ours, theirs):
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


def masks(value):
    return {name: torch.full_like(p, value) for name, p in tiny_model().named_parameters()}


def test_masked_weights_keep_their_bytes_and_the_others_train():
    start, generator = weights(tiny_model()), torch.Generator().manual_seed(0)
    drawn = {name: torch.rand(p.shape, generator=generator) < 0.5 for name, p in start.items()}
    drawn["visual.proj"][:] = False
    del drawn["visual.class_embedding"]
    ended = trained(50, transform=masked(drawn))
    for name, mask in drawn.items():
        before, after = (w[name][~mask].numpy().tobytes() for w in (start, ended))
        assert before == after, name
        if mask.any():
            assert not torch.equal(ended[name][mask], start[name][mask]), name
    assert (ended["visual.class_embedding"] != start["visual.class_embedding"]).all()


def test_an_empty_mask_is_the_model_and_a_full_one_the_bare_run():
    assert same(trained(transform=masked(masks(0.0))), weights(tiny_model()))
    assert same(trained(transform=masked(masks(1.0))), trained())
    assert same(trained(transform=masked({})), trained())


def test_a_mask_scales_the_gradient_before_it_is_clipped():
    model, mask = tiny_model(), {"visual.proj": torch.rand(tiny_model().visual.proj.shape)}
    config = TrainingConfig(lr=1e-2, warmup=0.0, max_grad_norm=1e-2)
    fit(model, terms_of(model), 1, config, transform=masked(mask))
    bare = tiny_model()
    optimizer = torch.optim.AdamW(bare.parameters(), lr=1e-2, betas=(0.9, 0.98), eps=1e-6, weight_decay=0)
    sum(terms_of(bare.train())(0).values()).backward()
    bare.visual.proj.grad *= mask["visual.proj"]
    torch.nn.utils.clip_grad_norm_(bare.parameters(), 1e-2)
    optimizer.step()
    bare.logit_scale.data.clamp_(0, math.log(100))
    for (name, a), b in zip(model.named_parameters(), bare.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-7), name


def test_a_mask_of_a_weight_that_is_not_trained_is_without_effect():
    def text(name):
        return not name.startswith("visual.")

    assert same(trained(params=text, transform=masked(masks(1.0))), trained(params=text))


def test_modules_beside_the_model_are_masked_too():
    gate = torch.nn.Linear(3, 1, bias=False)
    before = gate.weight.detach().clone()
    model, mask = tiny_model(), torch.tensor([[1.0, 0.0, 1.0]])

    def objective(step):
        return gate(torch.ones(3)).square().sum() + terms_of(model)(step)["pairs"]

    fit(model, objective, also={"gate": gate}, transform=masked({"gate.weight": mask}))
    assert (gate.weight != before).tolist() == [[True, False, True]]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"visual.projection": torch.ones(2)}, "no parameter is called 'visual.projection'"),
        ({"visual.proj": torch.ones(2)}, r"mask of visual.proj is float32 \[2\] on cpu; .* shape \[16, 16\]"),
        ({"visual.proj": 1.0}, "mask of visual.proj is a float; it must be a tensor"),
    ],
)
def test_a_wrong_mask_is_explained(wrong, words):
    with pytest.raises(MethodError, match=words):
        trained(transform=masked(wrong))


def summed(terms):
    return {name: sum(term[name] for term in terms.values()) for name in terms["pairs"]}


def close(ours, theirs, atol=1e-6):
    return all(torch.allclose(ours[name], theirs[name], atol=atol) for name in theirs)


def test_a_transform_gets_the_gradients_of_modules_beside_the_model():
    def run(**options):
        model, gate = tiny_model(), torch.nn.Linear(16, 1, bias=False)
        torch.nn.init.constant_(gate.weight, 0.1)
        pieces = Pieces(model, 3)

        def objective(step):
            image = pieces.encode(model.encode_image, IMAGES)
            return {"gated": gate(image).square().mean(), "plain": image.mean()}

        fit(model, objective, 2, TrainingConfig(lr=1e-4), also={"gate": gate}, pieces=pieces, **options)
        return {**weights(model), "gate.weight": gate.weight.detach()}

    ours = run(transform=lambda terms: {n: terms["gated"][n] + terms["plain"][n] for n in terms["plain"]})
    assert close(ours, run(), 1e-5) and (ours["gate.weight"] != 0.1).all()


@pytest.mark.parametrize("size", [0, 3, 1])
def test_the_sum_of_the_terms_gradients_is_the_plain_run(size):
    small = TrainingConfig(lr=1e-3, warmup=0.1, weight_decay=0.5)
    assert close(trained(config=small, size=size, transform=summed), trained(config=small), 1e-5)


def test_a_transform_is_given_each_terms_gradient_and_zeros_for_the_rest():
    given = []
    model = tiny_model()
    fit(model, terms_of(model), 1, transform=lambda terms: given.append(terms) or summed(terms))
    bare = tiny_model().train()
    for name, term in terms_of(bare)(0).items():
        found = torch.autograd.grad(term, list(bare.parameters()), retain_graph=True, allow_unused=True)
        for (parameter, p), gradient in zip(bare.named_parameters(), found, strict=True):
            expected = torch.zeros_like(p) if gradient is None else gradient
            assert torch.allclose(given[0][name][parameter], expected, atol=1e-7), (name, parameter)
    assert not given[0]["scale"]["visual.proj"].any() and given[0]["scale"]["logit_scale"] == pytest.approx(0.1)


def test_a_scalar_loss_is_the_term_loss():
    model, given = tiny_model(), []

    def take(terms):
        given.append(set(terms))
        return terms["loss"]

    plain = tiny_model()
    fit(model, lambda step: terms_of(model)(step)["pairs"], transform=take)
    fit(plain, lambda step: terms_of(plain)(step)["pairs"])
    assert given == [{"loss"}] * 4 and close(weights(model), weights(plain))


def test_what_no_term_touches_does_not_decay_under_a_transform():
    model, start = tiny_model(), weights(tiny_model())
    fit(model, lambda step: {"pairs": model.encode_image(IMAGES).square().mean()}, transform=summed)
    moved = {name for name, p in weights(model).items() if not torch.equal(p, start[name])}
    assert moved and all(name.startswith("visual.") for name in moved)


def test_what_is_handed_over_stays_the_transforms_own():
    """Clipping changes gradients in place; one that a transform keeps for its next step must not change."""
    kept, model = [], tiny_model()

    def keep(terms):
        gradients = summed(terms)
        kept.append((gradients["visual.proj"], gradients["visual.proj"].clone()))
        return gradients

    fit(model, terms_of(model), config=TrainingConfig(lr=1e-3, max_grad_norm=1e-6), transform=keep)
    assert len(kept) == 4 and all(torch.equal(a, b) for a, b in kept)


def test_an_observer_is_told_as_without():
    def told(**options):
        seen, model = [], tiny_model()
        observer = Observer(
            on_step=lambda *found: seen.append(found),
            on_terms=lambda terms, trained: seen.append(({k: v.item() for k, v in terms.items()}, len(trained))),
        )
        fit(model, terms_of(model), 1, observer=observer, **options)
        return seen

    assert told(transform=summed) == told(transform=masked(masks(1.0))) == told()


@pytest.mark.parametrize("size", [0, 3])
@pytest.mark.parametrize("how", ["transform", "mask", "plain"])
def test_with_a_scaled_loss_gradients_are_handed_over_unscaled(size, how):
    config, given, scaled = TrainingConfig(lr=1e-3, max_grad_norm=0), [], []
    options = {
        "transform": {"transform": lambda terms: given.append(terms) or summed(terms)},
        "mask": {"transform": masked(masks(1.0))},
        "plain": {},
    }[how]

    class Scaler(torch.amp.GradScaler):
        def scale(self, value):
            scaled.append(value)
            return super().scale(value)

    accelerator = Accelerator(cpu=True)
    accelerator.scaler = Scaler("cpu", init_scale=1024.0)
    ours = trained(accelerator=accelerator, config=config, size=size, **options)
    assert len(scaled) == 4, "once a step"
    assert all(terms["scale"]["logit_scale"] == pytest.approx(0.1) for terms in given)
    assert close(ours, trained(config=config, size=size, **options))


@pytest.mark.parametrize("size", [0, 3])
def test_under_autocast_gradients_are_float32(size):
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    kinds = set()

    def look(terms):
        kinds.update(g.dtype for term in terms.values() for g in term.values())
        return summed(terms)

    try:
        accelerator, small = Accelerator(cpu=True, mixed_precision="bf16"), TrainingConfig(lr=1e-4)
        ours = trained(accelerator=accelerator, config=small, size=size, transform=look)
        plain = trained(accelerator=accelerator, config=small)
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    assert kinds == {torch.float32} and close(ours, plain, 1e-3)


NAMES = [name for name, _ in tiny_model().named_parameters()]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: None, "returned None; it must return each parameter's gradient"),
        (lambda g: list(g.values()), "returned a list"),
        (
            lambda g: {k: v for k, v in g.items() if k != "visual.proj"},
            "visual.proj has no gradient in what it returned",
        ),
        (lambda g: {**g, "visual.mine": g["visual.proj"]}, "visual.mine is not among the parameters that are trained"),
        (lambda g: {**g, "visual.proj": None}, "returned for visual.proj is None"),
        (lambda g: {**g, "visual.proj": np.ones((16, 16))}, "returned for visual.proj is a ndarray"),
        (lambda g: {**g, "visual.proj": g["visual.proj"][:2]}, r"is float32 \[2, 16\] on cpu; .* float32 \[16, 16\]"),
        (lambda g: {**g, "visual.proj": g["visual.proj"].double()}, "is float64"),
        (lambda g: {**g, "visual.proj": g["visual.proj"].to("meta")}, "on meta"),
    ],
)
def test_what_a_transform_returns_wrong_is_explained(change, words):
    with pytest.raises(MethodError, match=words):
        trained(transform=lambda terms: change(summed(terms)))


def test_a_mask_that_is_no_transform_is_told():
    model = tiny_model()
    with pytest.raises(MethodError, match=r"a dict can't be called; give a function, or masked\(\.\.\.\)"):
        fit(model, lambda step: model.logit_scale * 2, transform={})
