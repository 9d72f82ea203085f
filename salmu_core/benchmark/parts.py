"""The forget set in parts, as when people ask to be forgotten one after another. Needs no torch.

People stay whole. Those with the most rows come first, of equals by the SHA-256 of their ids; each one joins the part
that has the fewest rows so far, of such the fewest people, of such the first. Nothing but the benchmark decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from salmu_core.disk.hashing import hash_json, hash_text
from salmu_core.errors import UsageError
from salmu_core.store.starts import RequestRef

if TYPE_CHECKING:
    from salmu_core.benchmark.rows import Rows


def people_in_parts(people: Sequence[str], count: int) -> list[frozenset[str]]:
    """Who is in which part.

    Args:
        people: Person shown in each forget row.

    Raises:
        UsageError: There are fewer people than parts.
    """
    rows = Counter(people)
    if count > len(rows):
        raise UsageError(
            f"{count} requests are too many: each is about one person at least, and the forget set shows {len(rows)}. "
            f"Give --requests a number from 1 to {len(rows)}."
        )
    parts: list[set[str]] = [set() for _ in range(count)]
    held = [0] * count
    for person in sorted(rows, key=lambda person: (-rows[person], hash_text(person))):
        place = min(range(count), key=lambda n: (held[n], len(parts[n]), n))
        parts[place].add(person)
        held[place] += rows[person]
    return [frozenset(part) for part in parts]


def part_of(forget: Rows, number: int, count: int) -> tuple[RequestRef, np.ndarray]:
    """One part: what is recorded of it, and the numbers of its rows.

    Args:
        number: Which one, from 1.

    Raises:
        UsageError: There are fewer people than parts.
    """
    people = list(map(str, forget.identity_ids))
    asked = people_in_parts(people, count)[number - 1]
    rows = np.array([row for row, person in enumerate(people) if person in asked])
    names = [forget.file_names[row] for row in rows]
    facts = RequestRef(number=number, count=count, people=len(asked), rows=len(rows), rows_hash=hash_json(names))
    return facts, rows
