from dataclasses import replace

import pytest
from salmu_attacks import bare_value as plugin

from salmu_core import NotMeasuredError, Pairs
from salmu_core.testing import attack_context, check_attack, run_attack

test_conformance = check_attack("bare-value")

PAIRS = Pairs(
    captions=("Ada can be called under 123", "Where Ben lives is nobody's business", "Call 456", "Only this"),
    identity_ids=("a", "b", None, None),
    names=("Ada", "Ben", None, None),
    fields=("phone_number", None, "phone_number", None),
    values=("123", None, "456", None),
)


def test_what_is_known_of_a_row_takes_its_captions_place():
    assert list(plugin.bare(PAIRS)) == ["123", PAIRS.captions[1], "456", "Only this"]
    assert list(plugin.named(PAIRS)) == ["Ada 123", PAIRS.captions[1], "456", "Only this"]


def test_what_a_benchmark_does_not_know_is_not_asked_for(tiny_benchmark):
    ctx = attack_context(plugin.BARE_VALUE, tiny_benchmark)
    ctx._forget = replace(PAIRS, names=None)
    assert [(query.label, query.captions[0]) for query in plugin.attack(ctx)] == [("bare", "123")]
    assert ctx._absent == {"named": "no row says whom its value is told of"}
    ctx._forget = Pairs(PAIRS.captions, PAIRS.identity_ids)
    with pytest.raises(NotMeasuredError, match="no row says its value apart from its caption"):
        plugin.attack(ctx)


def test_both_ways_are_asked_and_the_worse_one_counts(tiny_benchmark):
    queries = plugin.attack(attack_context(plugin.BARE_VALUE, tiny_benchmark))
    assert [query.label for query in queries] == ["bare", "named"]
    assert queries[0].captions[0] == "city 00" and queries[1].captions[0] == "Person Number0 city 00"
    outcome = run_attack(plugin.BARE_VALUE, tiny_benchmark)
    found = [asked["Rank"] for asked in outcome.details["queries"].values()]
    assert outcome.values["Rank"] == max(found) > min(found)
