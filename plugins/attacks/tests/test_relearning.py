import copy

import pytest
import torch
from salmu_attacks import relearn_leaked, relearn_retain
from salmu_attacks.relearning import leaked_loss

from salmu_core.testing import attack_context, fixed_step, numpy_contrastive, random_pairs, run_attack

PLAIN = {"warmup": 0.0, "schedule": "constant", "max_grad_norm": 0.0}


def trained(model, batch, lr, steps):
    """What torch's own AdamW makes of a model in so many steps on one batch."""
    model = copy.deepcopy(model).requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98), eps=1e-6, weight_decay=0)
    for _ in range(steps):
        image, text = model.encode_image(batch.image, normalize=True), model.encode_text(batch.text, normalize=True)
        logits, target = model.logit_scale.exp() * image @ text.T, torch.arange(len(image))
        loss = sum(torch.nn.functional.cross_entropy(each, target) for each in (logits, logits.T)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return dict(model.named_parameters())


def test_each_stage_is_what_adamw_makes_of_the_checkpoint_in_so_many_steps(tiny_benchmark):
    """Leaked pairs that are fewer than a batch are drawn all at each step, so the order of the data does not matter."""
    settings = {"lr": 1e-4, "rates": (10, 1), "curve": (3, 1), "share": 0.3}
    ctx = attack_context(relearn_leaked.RELEARN_LEAKED, tiny_benchmark, **settings, **PLAIN)
    (batch,) = ctx.batches("leaked", 16)
    seen = []
    for stage in relearn_leaked.attack(ctx):
        seen.append((stage.label, stage.curve, stage.step))
        lr = float(stage.curve.removeprefix("lr "))
        expected, start = trained(ctx.reference, batch, lr, stage.step), dict(ctx.reference.named_parameters())
        for name, weight in ctx.model.named_parameters():
            off, moved = ((weight - other[name]).abs().mean().item() for other in (expected, start))
            assert off <= 0.01 * moved, (stage.label, name)
    curves = [f"lr {lr}" for lr in ("0.001", "0.0001")]
    assert seen == [(f"{curve}, {steps} steps", curve, steps) for curve in curves for steps in (3, 1)]


def test_a_stage_does_not_depend_on_which_others_there_are(tiny_benchmark):
    """Also where the order of the data matters: each begins it anew."""

    def stages(rates, curve):
        outcome = run_attack(relearn_retain.RELEARN_RETAIN, tiny_benchmark, rates=rates, curve=curve, batch_size=4)
        return {stage["label"]: stage["values"] for stage in outcome.details["stages"]}

    many, one = stages((100, 10), (2, 5)), stages((10,), (5,))
    assert many["lr 0.0001, 5 steps"] == one["lr 0.0001, 5 steps"] and len(many) == 4


def test_loss_is_clips_own_on_leaked_pairs():
    leaked = random_pairs(1)
    ctx, step = fixed_step(relearn_leaked.Config(), forget=leaked, logit_scale=5.0)
    assert leaked_loss(ctx, step).item() == pytest.approx(numpy_contrastive(leaked, logit_scale=5.0), rel=1e-9)
