import pytest
import salmu_scrub as plugin

from salmu_core.testing import (
    check_method,
    loss_values,
    numpy_contrastive,
    numpy_divergence,
    random_pairs,
    run_method,
)

(SPEC,) = plugin.salmu_methods()
SCALES = {"logit_scale": 7.0, "reference_logit_scale": 5.0}

test_conformance = check_method("scrub")


@pytest.mark.parametrize("temperature", [2.0, 3.0])
def test_a_forgetting_pass_leaves_the_teacher(temperature):
    """Distillation's: both softmaxes at T, and T squared before it."""
    forget = random_pairs(1)
    values = loss_values(plugin.maximise, plugin.Config(temperature=temperature), forget, **SCALES)
    expected = -(temperature**2) * numpy_divergence(forget, 7.0 / temperature, 5.0 / temperature)
    assert values == pytest.approx({"loss": expected, "forgetting": expected}, rel=1e-9)


@pytest.mark.parametrize(("g", "a"), [(1.0, 0.5), (0.3, 2.0)])
def test_a_retaining_pass_learns_and_returns_to_the_teacher(g, a):
    retain = random_pairs(2)
    config = plugin.Config(contrastive_weight=g, divergence_weight=a)
    values = loss_values(plugin.minimise, config, retain=retain, **SCALES)
    terms = {
        "contrastive": g * numpy_contrastive(retain, 7.0),
        "divergence": a * 4 * numpy_divergence(retain, 3.5, 2.5),
    }
    assert values == pytest.approx({"loss": sum(terms.values()), **terms}, rel=1e-9)


@pytest.mark.parametrize(("budget", "share", "forgetting"), [(1, 0.3, 1), (5, 0.3, 2), (2.5, 1.0, 3), (4, 0.25, 1)])
def test_forgetting_passes_come_first_and_retaining_ones_always(tiny_benchmark, monkeypatch, budget, share, forgetting):
    told = []

    def recorded(name, loss):
        def called(ctx, step):
            told.append(name)
            return loss(ctx, step)

        monkeypatch.setattr(plugin, loss.__name__, called)

    recorded("max", plugin.maximise)
    recorded("min", plugin.minimise)
    outcome, session = run_method(SPEC, tiny_benchmark, budget=budget, batch_size=4, forgetting_passes=share)
    assert outcome.status == "valid", outcome.reason
    size = len(session.pools["forget"])
    a_pass, room = size // 4, int(budget * size) // 4
    expected = (["max"] * a_pass + ["min"] * a_pass) * forgetting
    if forgetting * a_pass > room:  # the last pass is half a one
        expected = expected[: 2 * (forgetting - 1) * a_pass] + ["max"] * (room - (forgetting - 1) * a_pass)
    steps = expected.count("min")
    assert told == expected + ["min"] * (room - steps)
    assert outcome.ledger.retain_samples == 4 * room
    assert outcome.ledger.forget_samples == 4 * min(forgetting * a_pass, room)


def test_forget_pairs_leave_the_teacher_although_they_begin_where_it_is(tiny_benchmark):
    """There the divergence is 0 and has no slope: it takes a step of noise to leave."""
    outcome, _ = run_method(SPEC, tiny_benchmark, budget=5, batch_size=4, lr=1e-3, forgetting_passes=1.0)
    first, last = outcome.scalars["forgetting"][0][1], outcome.scalars["forgetting"][-1][1]
    assert abs(first) < 1e-5 and last < first - 1e-3
