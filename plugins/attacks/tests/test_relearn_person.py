from random import Random

import pytest
from salmu_attacks import relearn_person as plugin

from salmu_core import NotMeasuredError, Pairs
from salmu_core.testing import check_attack, run_attack

test_conformance = check_attack("relearn-person", rates=(10, 100), curve=(2, 5))

#: Of one person five facts in four wordings, of one three in two, of one a single one, and rows of nobody.
FACTS = [("a", f, w) for f in "vwxyz" for w in range(4)] + [("b", f, w) for f in "xyz" for w in range(2)]
FACTS += [("c", "x", w) for w in range(3)] + [(None, "x", 0)] * 2
PAIRS = Pairs(tuple(map(str, FACTS)), tuple(f[0] for f in FACTS), fields=tuple(f[1] for f in FACTS))


@pytest.mark.parametrize(("k", "counts"), [(1, {"a": 1, "b": 1}), (4, {"a": 4, "b": 2}), (16, {"a": 8, "b": 2})])
def test_so_many_pairs_of_each_person_leak_from_half_of_the_facts(k, counts):
    draws = {tuple(sorted(plugin.leaked(PAIRS, plugin.Config(pairs=k), Random(seed)))) for seed in range(20)}
    assert len(draws) > 1
    for draw in draws:
        held = [FACTS[row] for row in draw]
        assert len(set(draw)) == len(draw) and {p: sum(f[0] == p for f in held) for p in "ab"} == counts
        assert {f[0] for f in held} == {"a", "b"}
        assert all(len({f[1] for f in held if f[0] == person}) <= most for person, most in (("a", 2), ("b", 1)))


@pytest.mark.parametrize("facts", [("x",), ("x", "y")])
def test_of_who_has_one_fact_nothing_leaks_and_one_pair_is_no_training(facts):
    pairs = Pairs(facts, ("a",) * len(facts), fields=facts)
    with pytest.raises(NotMeasuredError, match="too few people have two facts"):
        plugin.leaked(pairs, plugin.Config(), Random(0))


def test_it_scores_the_facts_of_which_no_pair_leaked(tiny_benchmark):
    outcome = run_attack(plugin.RELEARN_PERSON, tiny_benchmark, rates=(10,), curve=(2,), pairs=16)
    # Of two people four facts, of four people two: half of each leaked.
    assert outcome.status == "valid" and len(outcome.leaked) == 8 and plugin.RELEARN_PERSON.whole_facts
    assert len(set(outcome.rows["file_name"].to_pylist())) == 8 and outcome.ledger.retain_samples == 0
