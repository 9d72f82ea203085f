"""Which forget rows an attacker holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from random import Random

from salmu_core.contract.attack import AttackSpec
from salmu_core.contract.config import MethodConfig
from salmu_core.contract.features import Pairs
from salmu_core.errors import AttackError
from salmu_core.train.seeding import seed_of


def leaked_rows(spec: AttackSpec, config: MethodConfig, pairs: Pairs, seed: int) -> tuple[int, ...]:
    """Numbers of the forget rows that the attacker holds, in order: the same for every checkpoint.

    Args:
        spec: The attack.
        config: Its configuration.
        pairs: All forget rows.
        seed: The attack's seed.

    Raises:
        AttackError: The attack chose none, all, or something that is no row.
    """
    if "leaked" not in spec.given:
        return ()
    random = Random(seed_of("leaked", spec.name, seed))
    chosen = _halves(pairs, random) if spec.leaked is None else spec.leaked(pairs, config, random)
    try:
        rows = sorted({int(row) for row in chosen if int(row) == row})
    except (TypeError, ValueError) as error:
        raise AttackError(
            f"leaked() returned {type(chosen).__name__}; it must return numbers of forget rows"
        ) from error
    if len(rows) != len(chosen) or not rows or rows[0] < 0 or rows[-1] >= len(pairs):
        raise AttackError(
            f"leaked() must return numbers of forget rows, from 0 to {len(pairs) - 1}, at least one and each once; "
            f"it returned {len(chosen)}, of which {len(rows)} are different whole numbers"
        )
    if len(rows) == len(pairs):
        raise AttackError(
            f"all {len(pairs)} forget rows leaked: nothing is left that the attacker did not hold, and only that is "
            "scored; leak fewer"
        )
    return tuple(rows)


def _halves(pairs: Pairs, random: Random) -> list[int]:
    """Half of each person's rows, rounded down."""
    people: dict[str | None, list[int]] = defaultdict(list)
    for row, person in enumerate(pairs.identity_ids):
        people[person].append(row)
    return [row for rows in people.values() for row in random.sample(rows, len(rows) // 2)]


def people_of(pairs: Pairs, rows: Sequence[int]) -> int:
    """Number of people shown in some rows."""
    return len({pairs.identity_ids[row] for row in rows})
