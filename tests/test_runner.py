"""Every way a run can end, and what it must leave behind."""

import sys

import pytest
import torch

from salmu_core import MethodSpec
from salmu_core.losses import contrastive_loss
from salmu_core.testing import run_method
from salmu_core.weights import fingerprint

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


def over(ctx):
    while True:
        next(ctx.batches("forget")).image  # noqa: B018


@pytest.mark.parametrize(
    ("unlearn", "status", "words"),
    [
        (edit, "valid", ""),
        (wreck, "valid", ""),
        (lambda ctx: None, "unchanged", "not a single weight"),
        (lambda ctx: edit(ctx, float("nan")), "non-finite", "visual.proj"),
        (lambda ctx: edit(ctx, float("inf")), "non-finite", "visual.proj"),
        (lambda ctx: ctx.fit(lambda c, s: c.model.logit_scale * float("nan")), "non-finite", "step 0"),
        (touch_reference, "altered", "ctx.reference"),
        (new_tensor, "altered", "extra"),
        (half, "altered", "float16"),
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
    assert fingerprint(session.clip.model) == fingerprint(session.reference) == session.reference_fingerprint
    assert fingerprint(outcome.model) != session.reference_fingerprint
    assert not any(p.requires_grad for p in session.reference.parameters())


def test_the_global_random_state_is_neither_an_input_nor_an_output(tiny):
    def noisy(ctx):
        with ctx.edit() as weights:
            weights["visual.proj"] += torch.randn(weights["visual.proj"].shape)

    spec = MethodSpec(**FACTS, unlearn=noisy)
    before = torch.get_rng_state()
    one, _ = run_method(spec, tiny)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(7)
    two, _ = run_method(spec, tiny)
    other, _ = run_method(spec, tiny, seed=1)
    assert fingerprint(one.model) == fingerprint(two.model) != fingerprint(other.model)


def test_same_seed_same_bytes(tiny):
    spec = MethodSpec(**FACTS, loss=lambda c, s: contrastive_loss(c.model, s.forget))
    prints = [fingerprint(run_method(spec, tiny, seed=seed, batch_size=4)[0].model) for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_the_model_cannot_be_swapped(tiny):
    def swap(ctx):
        ctx.model = ctx.reference

    outcome, _ = run_method(MethodSpec(**FACTS, unlearn=swap), tiny)
    assert outcome.status == "crashed" and "AttributeError" in outcome.reason
