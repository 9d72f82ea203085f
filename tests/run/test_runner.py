"""Every way a run can end, and what it must leave behind."""

import random
import sys

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from salmu_core import MethodConfig, MethodSpec, TrainingConfig
from salmu_core.clip.load import load_clip
from salmu_core.clip.weights import fingerprint
from salmu_core.losses import contrastive_loss
from salmu_core.run.runner import run_one
from salmu_core.testing import run_method

FACTS = {"name": "a-method", "summary": "A test.", "paper": "https://example.org"}


def edit(ctx, value=None):
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(2) if value is None else weights["visual.proj"].fill_(value)


def touch_reference(ctx):
    edit(ctx)
    with torch.no_grad():
        ctx.reference.visual.proj.add_(1)


def new_tensor(ctx):
    ctx.model.register_parameter("extra", torch.nn.Parameter(torch.zeros(1)))


def half(ctx):
    ctx.model.half()


def wreck(ctx):
    edit(ctx, 1e6)


def to_nowhere(ctx):
    ctx.model.to("meta")


def bad_log(ctx):
    ctx.log("x", float("nan"))


def over(ctx):
    while True:
        next(ctx.batches("forget", 8)).image  # noqa: B018


def nan(ctx, step):
    return ctx.model.logit_scale * float("nan")


@pytest.mark.parametrize(
    ("unlearn", "status", "words"),
    [
        (edit, "valid", ""),
        (wreck, "valid", ""),
        (lambda ctx: None, "unchanged", "not a single weight"),
        (lambda ctx: edit(ctx, float("nan")), "non-finite", "visual.proj"),
        (lambda ctx: edit(ctx, float("inf")), "non-finite", "visual.proj"),
        (
            lambda ctx: ctx.fit(lambda c, s: c.model.logit_scale * float("nan"), config=TrainingConfig()),
            "non-finite",
            "step 0",
        ),
        (touch_reference, "altered", "ctx.reference"),
        (new_tensor, "altered", "extra"),
        (half, "altered", "float16"),
        (to_nowhere, "altered", "can't be read"),
        (bad_log, "crashed", "finite number"),
        (over, "over-budget", "budget allows"),
        (lambda ctx: 1 / 0, "crashed", "ZeroDivisionError"),
        (lambda ctx: sys.exit(3), "crashed", "SystemExit"),
    ],
)
def test_outcomes(tiny, unlearn, status, words):
    outcome, _ = run_method(MethodSpec(**FACTS, unlearn=unlearn), tiny)
    assert outcome.status == status and words in outcome.reason
    assert (outcome.traceback is not None) == (status == "crashed")


def test_a_run_leaves_the_session_as_it_found_it(tiny):
    spec = MethodSpec(**FACTS, unlearn=touch_reference)
    outcome, session = run_method(spec, tiny)
    assert fingerprint(session.clip.model) == fingerprint(load_clip(tiny / "compromised").model)
    assert fingerprint(outcome.model) != fingerprint(session.clip.model)


def test_what_a_method_hangs_on_the_reference_does_not_reach_the_next(tiny):
    seen = []

    def hook(ctx):
        edit(ctx)
        ctx.reference.visual.register_forward_hook(lambda m, i, out: out * 0)

    def look(ctx):
        edit(ctx)
        batch = next(ctx.batches("forget", 8))
        seen.append(ctx.reference_features(batch).image.abs().sum().item())
        seen.append(ctx.reference.encode_image(batch.image).abs().sum().item())

    accelerator = Accelerator(cpu=True)
    _, session = run_method(MethodSpec(**FACTS, unlearn=hook), tiny)
    spec = MethodSpec(**FACTS, unlearn=look)
    assert run_one(spec, spec.config(), 1, 0, session, accelerator).status == "valid"
    assert min(seen) > 0


def test_shared_embeddings_do_not_depend_on_the_mode_of_who_asks_first(tiny):
    found = []

    def asking(mode):
        def unlearn(ctx):
            edit(ctx)
            with mode:
                ctx.reference_features(next(ctx.batches("forget", 8)))
            again = ctx.reference_features(next(ctx.batches("forget", 8))).image
            found.append(again * torch.ones(1, requires_grad=True))

        return unlearn

    for mode in (torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad()):
        outcome, _ = run_method(MethodSpec(**FACTS, unlearn=asking(mode)), tiny, budget=3)
        assert outcome.status == "valid", outcome.traceback
    assert all(f.dtype == torch.float32 and torch.equal(f, found[0]) for f in found)


def test_the_global_random_state_is_neither_an_input_nor_an_output(tiny):
    def noisy(ctx):
        with ctx.edit() as weights:
            weights["visual.proj"] += torch.randn(weights["visual.proj"].shape)
            weights["visual.proj"] += float(np.random.rand()) + random.random()

    spec = MethodSpec(**FACTS, unlearn=noisy)
    before = torch.get_rng_state()
    one, _ = run_method(spec, tiny)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(7)
    two, _ = run_method(spec, tiny)
    other, _ = run_method(spec, tiny, seed=1)
    assert fingerprint(one.model) == fingerprint(two.model) != fingerprint(other.model)


def test_what_a_method_sets_for_the_whole_process_is_undone(tiny):
    def unlearn(ctx):
        edit(ctx)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        accelerator.scaler.update(2.0)

    accelerator = Accelerator(cpu=True)
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    accelerator.scaler.scale(torch.ones(1))
    _, session = run_method(MethodSpec(**FACTS, unlearn=edit), tiny)
    try:
        outcome = run_one(MethodSpec(**FACTS, unlearn=unlearn), MethodConfig(), 1, 0, session, accelerator)
        assert outcome.status == "valid", outcome.traceback
        assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
        assert accelerator.scaler.get_scale() == 1024
    finally:
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)


def test_same_seed_same_bytes(tiny):
    spec = MethodSpec(**FACTS, loss=lambda c, s: contrastive_loss(c, s.forget))
    prints = [fingerprint(run_method(spec, tiny, seed=seed, batch_size=4)[0].model) for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_the_model_cannot_be_swapped(tiny):
    def swap(ctx):
        ctx.model = ctx.reference

    outcome, _ = run_method(MethodSpec(**FACTS, unlearn=swap), tiny)
    assert outcome.status == "crashed" and "AttributeError" in outcome.reason
