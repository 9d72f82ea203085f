from random import Random

import pytest
from salmu_attacks import relearn_leaked as plugin

from salmu_core import NotMeasuredError, Pairs
from salmu_core.testing import check_attack, run_attack

test_conformance = check_attack("relearn-leaked", rates=(10, 100), curve=(2, 5))


@pytest.mark.parametrize(("rows", "share", "count"), [(100, 0.05, 5), (10, 0.05, 2), (3, 0.9, 2)])
def test_so_many_rows_leak_at_random(rows, share, count):
    pairs, config = Pairs(("a",) * rows, ("1",) * rows), plugin.Config(share=share)
    draws = {tuple(plugin.leaked(pairs, config, Random(seed))) for seed in range(9)}
    assert all(len(set(draw)) == count and max(draw) < rows for draw in draws) and len(draws) > 1


def test_two_forget_pairs_are_too_few():
    with pytest.raises(NotMeasuredError, match="fewer than three forget pairs"):
        plugin.leaked(Pairs(("a", "b"), ("1", "1")), plugin.Config(), Random(0))


def test_it_trains_on_what_leaked_alone_and_scores_the_rest(tiny_benchmark):
    outcome = run_attack(plugin.RELEARN_LEAKED, tiny_benchmark, rates=(30,), curve=(7,), batch_size=4, share=0.2)
    assert (outcome.ledger.steps, outcome.ledger.retain_samples) == (7, 0)
    assert len(outcome.leaked) == 3
    first, *_, last = (value for _, value in outcome.scalars["loss"])
    assert last < first
