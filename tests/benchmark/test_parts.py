"""The forget set in parts: whole people, as even as they allow, and the same for everybody."""

from collections import Counter

import numpy as np
import pytest

from salmu_core.benchmark.parts import part_of, people_in_parts
from salmu_core.benchmark.splits import read_training
from salmu_core.disk.hashing import hash_json
from salmu_core.errors import UsageError


@pytest.mark.parametrize(("seed", "people", "count"), [(0, 40, 1), (1, 40, 4), (2, 41, 7), (3, 9, 9), (4, 200, 3)])
def test_parts_are_of_whole_people_and_as_even_as_the_last_one_to_join(seed, people, count):
    """Whoever joins goes where the fewest rows are: without its smallest person, no part has more than another."""
    rng = np.random.default_rng(seed)
    rows = [f"{person:08d}" for person in range(people) for _ in range(rng.integers(1, 30))]
    parts, held = people_in_parts(rows, count), Counter(rows)
    assert sorted(person for part in parts for person in part) == sorted(held) and all(parts)
    sums = [sum(held[person] for person in part) for part in parts]
    for part, total in zip(parts, sums, strict=True):
        assert total - min(held[person] for person in part) <= min(sums)
    assert people_in_parts(rng.permutation(rows).tolist(), count) == parts


def test_people_with_as_many_rows_each_are_shared_out_evenly():
    parts = people_in_parts([f"p{i % 30}" for i in range(300)], 4)
    assert sorted(map(len, parts)) == [7, 7, 8, 8]
    assert [sorted(part)[:2] for part in parts] != [[f"p{2 * i}", f"p{2 * i + 1}"] for i in range(4)]


def test_a_part_is_recorded_by_its_rows(tiny):
    forget = read_training(tiny).forget
    found = [part_of(forget, number, 3) for number in (1, 2, 3)]
    rows = np.concatenate([rows for _, rows in found])
    assert sorted(rows.tolist()) == list(range(len(forget)))
    for facts, rows in found:
        people = {forget.identity_ids[row] for row in rows}
        assert (facts.count, facts.people, facts.rows) == (3, len(people), len(rows)) and rows.tolist() == sorted(rows)
        assert facts.rows_hash == hash_json([forget.file_names[row] for row in rows])
        assert not people & {forget.identity_ids[row] for row in set(range(len(forget))) - set(rows.tolist())}
    whole, rows = part_of(forget, 1, 1)
    assert whole.digest == "" and rows.tolist() == list(range(len(forget)))


def test_more_requests_than_people_are_refused():
    with pytest.raises(UsageError, match=r"the forget set shows 2\..*from 1 to 2"):
        people_in_parts(["a", "b", "a"], 3)
