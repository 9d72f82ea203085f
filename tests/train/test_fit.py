"""The loop, held against the same loop in a few lines of bare PyTorch."""

import gc
import math
import weakref
from contextlib import contextmanager, nullcontext

import pytest
import torch
from accelerate import Accelerator

from salmu_core.contract.config import TrainingConfig
from salmu_core.errors import MethodError
from salmu_core.testing.tiny import tiny_model
from salmu_core.train.descent import learning_rate
from salmu_core.train.loop import NonFiniteLossError
from salmu_core.train.loop import fit as fit_loop
from salmu_core.train.observer import Observer

CONFIG = TrainingConfig(lr=1e-2, warmup=0.25, weight_decay=0.1, max_grad_norm=0.5)
STEPS = 8


def fit(model, objective, steps, config=CONFIG, accelerator=None, **options):
    return fit_loop(model, objective, lambda: steps, config, accelerator or Accelerator(cpu=True), **options)


def data(step):
    generator = torch.Generator().manual_seed(step)
    image = torch.randn(4, 3, 16, 16, generator=generator)
    return image, torch.randint(1, 400, (4, 20), generator=generator)


def loss_of(model, step):
    image, text = data(step)
    a, b = model.encode_image(image, normalize=True), model.encode_text(text, normalize=True)
    return torch.nn.functional.cross_entropy(model.logit_scale.exp() * a @ b.T, torch.arange(4))


@pytest.mark.parametrize("norm", [0, 0.5])
def test_it_is_the_textbook_loop(norm):
    ours, bare = tiny_model(), tiny_model()
    config = CONFIG.model_copy(update={"max_grad_norm": norm})
    fit(ours, lambda step: loss_of(ours, step), STEPS, config, Accelerator(cpu=True))

    optimizer = torch.optim.AdamW(bare.parameters(), betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1, fused=True)
    bare.train()
    for step in range(STEPS):
        rate = (step + 1) / 2 if step < 2 else 0.5 * (1 + math.cos(math.pi * (step - 2) / 6))
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * rate
        optimizer.zero_grad()
        loss_of(bare, step).backward()
        if norm:
            torch.nn.utils.clip_grad_norm_(bare.parameters(), norm)
        optimizer.step()
        bare.logit_scale.data.clamp_(0, math.log(100))
    for (name, a), b in zip(ours.named_parameters(), bare.parameters(), strict=True):
        # The norm of a table's gradient is summed over the rows that have one, in another order.
        assert torch.equal(a, b) if not norm else (a - b).abs().max() < 1e-5, name
    assert not ours.training and all(p.grad is None for p in ours.parameters())


@pytest.mark.parametrize("field", [{"beta1": 0.5}, {"beta2": 0.9}, {"eps": 1e-2}])
def test_every_setting_reaches_the_optimizer(field):
    plain, other = tiny_model(), tiny_model()
    fit(plain, lambda step: loss_of(plain, step), 3)
    fit(other, lambda step: loss_of(other, step), 3, CONFIG.model_copy(update=field))
    assert any(not torch.equal(a, b) for a, b in zip(plain.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(("limit", "reached"), [(2.0, 1 / 0.07), (14.3, 14.3), (100.0, 14.31)])
def test_the_temperature_grows_to_its_limit_and_not_below_what_it_was(limit, reached):
    model = tiny_model()
    config = CONFIG.model_copy(update={"max_logit_scale": limit})
    fit(model, lambda step: -model.logit_scale + 0 * loss_of(model, step), 3, config)
    scale = float(model.logit_scale.detach().exp())
    assert scale == pytest.approx(reached, abs=1e-3) if limit < 100 else scale > reached


def test_a_constant_schedule_stays_at_its_peak():
    assert [learning_rate(step, 10, 2, 1.0, "constant") for step in range(4)] == [0.5, 1.0, 1.0, 1.0]


def test_only_chosen_parameters_move_and_flags_are_restored():
    model, before = tiny_model(), tiny_model()
    model.visual.proj.requires_grad_(False)
    fit(
        model,
        lambda step: loss_of(model, step),
        3,
        CONFIG,
        Accelerator(cpu=True),
        params=lambda name: name.startswith("visual."),
    )
    moved = {
        n for (n, p), q in zip(model.named_parameters(), before.parameters(), strict=True) if not torch.equal(p, q)
    }
    assert moved and all(name.startswith("visual.") for name in moved) and "visual.proj" not in moved
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["visual.proj"]


def test_the_temperature_is_clamped():
    model = tiny_model()
    with torch.no_grad():
        model.logit_scale.fill_(math.log(100))
    fit(model, lambda s: -model.logit_scale, 3, CONFIG, Accelerator(cpu=True))
    assert model.logit_scale.item() == pytest.approx(math.log(100))


def test_terms_are_summed_and_reported():
    model, steps = tiny_model(), []

    def objective(step):
        return {"one": loss_of(model, step), "two": 2 * loss_of(model, step)}

    fit(model, objective, 2, CONFIG, Accelerator(cpu=True), observer=Observer(on_step=lambda *a: steps.append(a)))
    assert [(done, of) for done, of, _ in steps] == [(1, 2), (2, 2)]
    for _, _, values in steps:
        assert values["loss"] == pytest.approx(values["one"] + values["two"], rel=1e-5)


@pytest.mark.parametrize(
    ("objective", "error", "words"),
    [
        (lambda m: m.logit_scale * float("nan"), NonFiniteLossError, "not finite at step 0"),
        (lambda m: m.visual.proj, MethodError, "scalar"),
        (lambda m: m.logit_scale.detach(), MethodError, "no gradient"),
        (lambda m: {}, MethodError, "empty"),
        (lambda m: 3.0, MethodError, "it is float"),
        (lambda m: {"a": m.logit_scale, "b": 3.0}, MethodError, "its term 'b' is float"),
        (lambda m: {"a": m.logit_scale, "b": m.visual.proj[0]}, MethodError, r"its term 'b' is \(\d+,\)"),
        (lambda m: {"loss": m.logit_scale}, MethodError, "choose another name"),
    ],
)
def test_bad_losses_are_explained_and_leave_the_model_in_order(objective, error, words):
    model = tiny_model()
    with pytest.raises(error, match=words):
        fit(model, lambda s: objective(model), 3, CONFIG, Accelerator(cpu=True))
    assert not model.training and all(p.requires_grad and p.grad is None for p in model.parameters())


def test_no_parameter_is_an_error():
    model = tiny_model()
    with pytest.raises(MethodError, match="no parameter"):
        fit(model, lambda s: loss_of(model, s), 1, CONFIG, Accelerator(cpu=True), params=lambda n: False)


def test_the_schedule():
    rates = [learning_rate(step, 100, 10, 1.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5) and rates[-1] < 0.001
    assert learning_rate(0, 1, 0, 1.0) == 1.0
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)


def test_an_observer_sees_the_optimizer_the_terms_and_when_a_step_is_made():
    model, seen, inside = tiny_model(), [], []

    @contextmanager
    def stepping():
        inside.append(True)
        yield
        inside.pop()

    observer = Observer(
        on_optimizer=seen.append,
        on_terms=lambda terms, trained: seen.append((float(terms["loss"].detach()), set(trained), bool(inside))),
        on_step=lambda *_: seen.append(bool(inside)),
        stepping=stepping,
    )
    fit(
        model,
        lambda step: model.logit_scale * 2,
        1,
        CONFIG,
        Accelerator(cpu=True),
        params=lambda name: name == "logit_scale",
        observer=observer,
    )
    optimizer, (value, trained, within), after = seen
    assert isinstance(optimizer, torch.optim.AdamW) and trained == {"logit_scale"} and within and not after
    assert value == pytest.approx(2 * tiny_model().logit_scale.item())


def test_a_finished_loops_optimizer_is_let_go_of_and_clips_no_later_one(monkeypatch):
    accelerator, model, alive, unscaled = Accelerator(cpu=True), tiny_model(), [], []

    class Scaler(torch.amp.GradScaler):
        def unscale_(self, optimizer):
            unscaled.append(id(optimizer))
            super().unscale_(optimizer)

    accelerator.scaler = Scaler("cpu", init_scale=1024.0)
    monkeypatch.setattr(accelerator.state, "_mixed_precision", "fp16")
    accelerator.native_amp = True
    monkeypatch.setattr(type(accelerator), "autocast", lambda self: nullcontext())
    observer = Observer(on_optimizer=lambda optimizer: alive.append(weakref.ref(optimizer)))
    for _ in range(2):
        unscaled.clear()
        fit(model, lambda s: loss_of(model, s), 3, CONFIG, accelerator, observer=observer)
        assert len(unscaled) == 3 and len(set(unscaled)) == 1
    gc.collect()
    assert [optimizer() for optimizer in alive] == [None, None]
