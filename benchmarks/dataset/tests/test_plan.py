"""Who gives how many pairs to which split: the released totals exactly, and in proportion elsewhere."""

from __future__ import annotations

from collections import Counter

import pytest
from salmu_dataset.plan import FULL, shares, spread, totals

from salmu_core import UsageError, layout


def test_at_full_size_the_totals_are_the_released_ones() -> None:
    found = totals(774)
    assert found == FULL
    assert (found.forgotten, found.half, found.held_out) == (193, 387, 194)
    assert (found.sensitive, found.forget, found.retain) == (60_053, 30_468, 16_741)
    assert (found.holdout_association, found.holdout_identity) == (14_943, 14_642)


@pytest.mark.parametrize("seed", [0, 1])
def test_at_full_size_shares_add_up_to_the_totals(seed: int) -> None:
    everybody = shares(seed, FULL)
    rows: Counter[str] = Counter()
    people: Counter[frozenset[str]] = Counter()
    for share in everybody:
        people[frozenset(share.split.values())] += 1
        assert tuple(share.pairs) == tuple(share.split) == layout.DATA_FIELDS
        assert all(count >= 7 for count in share.pairs.values())
        for field, count in share.pairs.items():
            rows[share.split[field]] += count
    assert rows == {"forget": 30_468, "holdout_association": 14_943, "holdout_identity": 14_642}
    half = frozenset({"forget", "holdout_association"})
    assert people == {frozenset({"forget"}): 193, half: 387, frozenset({"holdout_identity"}): 194}
    assert sum(share.joint for share in everybody) == 1_000
    assert all((share.joint > 0) == ("forget" in share.split.values()) for share in everybody)


def test_half_forgotten_people_lose_four_or_five_attributes_and_each_attribute_as_often() -> None:
    halves = [s for s in shares(0, FULL) if len(set(s.split.values())) == 2]
    lost = [Counter(s.split.values())["forget"] for s in halves]
    assert Counter(lost).keys() == {4, 5} and abs(Counter(lost)[4] - Counter(lost)[5]) <= 1
    often = Counter(field for s in halves for field, split in s.split.items() if split == "forget")
    assert all(140 < often[field] < 250 for field in layout.DATA_FIELDS)


@pytest.mark.parametrize(("identities", "pairs"), [(4, None), (12, 12.0), (100, 20.0), (500, None)])
def test_at_other_sizes_the_proportions_hold(identities: int, pairs: float | None) -> None:
    found = totals(identities, pairs)
    assert found.identities == identities
    scale = identities * (pairs or FULL.sensitive / FULL.identities) / FULL.sensitive
    for name in ("forget", "holdout_association", "holdout_identity", "retain"):
        assert abs(getattr(found, name) - scale * getattr(FULL, name)) <= 2
    everybody = shares(3, found)
    assert sum(s.portraits for s in everybody) == found.sensitive + found.joint


def test_spread_is_even_and_starts_where_it_is_told() -> None:
    assert spread(11, 4) == [3, 3, 3, 2] and spread(11, 4, 3) == [3, 3, 2, 3] and sum(spread(7, 9)) == 7


def test_too_few_are_sentences() -> None:
    with pytest.raises(UsageError, match="at least 3"):
        totals(2)
    with pytest.raises(UsageError, match="--pairs is too small"):
        shares(0, totals(12, 6))
