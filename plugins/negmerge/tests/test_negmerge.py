import numpy as np
import pytest
import salmu_negmerge as plugin
import torch
from pydantic import ValidationError

from salmu_core.testing import check_method, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("negmerge")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_entries_of_one_sign_are_averaged_and_others_are_zero(count):
    rng = np.random.default_rng(count)
    vectors = [{name: rng.integers(-1, 3, size=(7, 9)) / 4 for name in "ab"} for _ in range(count)]
    found = plugin.consensus({name: torch.tensor(x) for name, x in vector.items()} for vector in vectors)
    for name in "ab":
        stack = np.stack([vector[name] for vector in vectors])
        agreed = (stack > 0).all(axis=0) | (stack < 0).all(axis=0)
        assert found[name].numpy() == pytest.approx(np.where(agreed, stack.mean(axis=0), 0))
        assert 0 < agreed.sum() < agreed.size


def test_zero_agrees_with_nothing():
    columns = ([0, 0, 0], [0, 2, 4], [-2, 0, -2], [1, 0, 0], [1, 2, 3], [-1, -2, -6])
    vectors = [{"w": torch.tensor(row, dtype=torch.float64)} for row in zip(*columns, strict=True)]
    assert plugin.consensus(vectors)["w"].tolist() == [0, 0, 0, 0, 2, -3]


def test_recipes_share_the_budget_and_differ_as_they_are_said_to(tiny_benchmark):
    settings = {"lr": 1e-3, "batch_size": 4, "lr_factors": (1.0, 2.0), "batch_factors": (0.5, 1.0), "orders": 2}
    outcome, session = run_method(SPEC, tiny_benchmark, budget=4, **settings)
    assert outcome.status == "valid", outcome.reason
    told = [(fit.settings["lr"], fit.batch_size, fit.first_step) for fit in outcome.fits]
    share = 4 * len(session.pools["forget"]) // 8
    steps = [share // size for _ in (1, 2) for size in (2, 4) for _ in (1, 2)]
    expected = [(lr, size) for lr in (1e-3, 2e-3) for size in (2, 4) for _ in (1, 2)]
    assert told == [(*recipe, sum(steps[:k])) for k, recipe in enumerate(expected)]
    assert outcome.ledger.forget_samples == 8 * share and not outcome.ledger.retain_samples
    assert 0 < outcome.scalars["agreed"][0][1] < 1


def test_a_recipe_that_the_budget_has_no_room_for_counts_as_none(tiny_benchmark):
    one, several = (
        run_method(SPEC, tiny_benchmark, budget=0.25, lr=1e-3, batch_size=4, lr_factors=f, batch_factors=(1.0,))[0]
        for f in ((1.0,), (1.0, 1.0, 1.0))
    )
    assert one.status == several.status == "valid" and one.ledger.forget_samples == several.ledger.forget_samples == 4
    for a, b in zip(one.model.parameters(), several.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_there_is_a_recipe_and_it_trains():
    for wrong in ({"lr_factors": ()}, {"batch_factors": (0.0,)}, {"orders": 0}):
        with pytest.raises(ValidationError):
            plugin.Config(**wrong)
