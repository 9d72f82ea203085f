import numpy as np
import pytest
import salmu_task_negation as plugin

from salmu_core import MethodSpec, TrainingConfig
from salmu_core.losses import contrastive_loss
from salmu_core.testing import assert_uses_budget, check_method, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("task-negation")


def test_it_lies_opposite_of_what_fine_tuning_on_the_forget_set_leads_to(tiny_benchmark):
    settings = {"lr": 1e-3, "batch_size": 4}
    tuning = MethodSpec(
        name="tuning",
        summary="A test.",
        paper="https://example.org",
        config=TrainingConfig,
        loss=lambda ctx, step: contrastive_loss(ctx, step.forget),
    )
    tuned, session = run_method(tuning, tiny_benchmark, **settings)
    outcome, _ = run_method(SPEC, tiny_benchmark, **settings, scales=5, max_scale=2)
    ((_, scale),) = outcome.scalars["scale"]
    assert scale in [pytest.approx(2 * (k + 1) / 5) for k in range(5)]
    assert outcome.ledger.probes == 6 and len(outcome.scalars["retain_mrr"]) == 5
    models = session.clip.model, tuned.model, outcome.model
    moved = 0
    for start, there, end in zip(*(model.parameters() for model in models), strict=True):
        a, b, c = (w.detach().double().numpy() for w in (start, there, end))
        assert c == pytest.approx(a - scale * (b - a), abs=1e-6)
        moved += np.abs(c - a).sum()
    assert moved > 0.1


def test_it_trains_on_forget_pairs_only_until_the_budget_ends(tiny_benchmark):
    assert_uses_budget(SPEC, tiny_benchmark, draws={"forget"})
