"""Steps that are doubled and bisected, held against where the goal is known to be."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from salmu_core import line_search


@pytest.mark.parametrize("needed", [0.03, 0.7, 5.3])
def test_the_step_is_doubled_until_it_is_enough_and_then_bisected(needed):
    weights, along = {"w": torch.full((4, 4), 2.0), "other": torch.ones(3)}, {"w": torch.full((4, 4), 0.5)}
    start = {name: weight.clone() for name, weight in weights.items()}
    lengths = []

    def probe():
        lengths.append(float((weights["w"] - start["w"]).mean() / 0.5))
        return SimpleNamespace(forget_mrr=1.0 if lengths[-1] < needed else 0.0)

    ctx = SimpleNamespace(edit=lambda: nullcontext(weights), probe=probe)
    tried = line_search(ctx, along, 0.25, 14, lambda found: found.forget_mrr < 0.5)
    assert [step.length for step in tried] == pytest.approx(lengths, abs=1e-6)
    assert [step.enough for step in tried] == [length >= needed for length in lengths]
    doubled = [0.25 * 2**i for i in range(14)]
    first = next(i for i, length in enumerate(doubled) if length >= needed)
    assert lengths[: first + 1] == pytest.approx(doubled[: first + 1])
    shortest = min(step.length for step in tried if step.enough)
    assert needed <= shortest <= needed + doubled[first] / 2 ** (13 - first)
    assert all(torch.equal(weight, start[name]) for name, weight in weights.items())
