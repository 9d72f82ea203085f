"""Which forget rows an attacker holds."""

from __future__ import annotations

from collections import defaultdict
from operator import index
from random import Random
from typing import SupportsIndex

from salmu_core.contract.attack import AttackSpec
from salmu_core.contract.config import MethodConfig
from salmu_core.contract.features import Pairs
from salmu_core.errors import AttackError, NotMeasuredError
from salmu_core.train.seeding import seed_of

_WANTED = "it must return numbers of forget rows"


def leaked_rows(spec: AttackSpec, config: MethodConfig, pairs: Pairs, seed: int) -> tuple[int, ...]:
    """Numbers of the forget rows that the attacker holds, in order: the same for every checkpoint.

    Args:
        spec: The attack.
        config: Its configuration.
        pairs: All forget rows.
        seed: The attack's seed.

    Raises:
        AttackError: The attack chose none, all, or something that is no row.
        NotMeasuredError: Nobody has two rows, of which one could leak.
    """
    if "leaked" not in spec.given:
        return ()
    random = Random(seed_of("leaked", spec.name, seed))
    chosen = _halves(pairs, random) if spec.leaked is None else spec.leaked(pairs, config, random)
    try:
        chosen = list(chosen)
    except TypeError as error:
        raise AttackError(f"leaked() returned {type(chosen).__name__}; {_WANTED}") from error
    if not chosen and spec.leaked is None:
        raise NotMeasuredError("nobody has two forget rows, so there is no half of anybody's to hold")
    if not chosen:
        raise AttackError(f"leaked() returned no row; {_WANTED}, at least one")
    seen: set[int] = set()
    for row in chosen:
        whole = not isinstance(row, bool) and isinstance(row, SupportsIndex)
        if not whole or not 0 <= index(row) < len(pairs) or index(row) in seen:
            twice = " twice" if whole and index(row) in seen else ""
            raise AttackError(
                f"leaked() returned {row!r}{twice} among {len(chosen)}; {_WANTED}, from 0 to {len(pairs) - 1} and each "
                "once, not a mask"
            )
        seen.add(index(row))
    rows = sorted(seen)
    if len(rows) == len(pairs):
        raise AttackError(
            f"all {len(pairs)} forget rows leaked: nothing is left that the attacker did not hold, and only that is "
            "scored; leak fewer"
        )
    return tuple(rows)


def unscored_rows(spec: AttackSpec, pairs: Pairs, leaked: tuple[int, ...]) -> tuple[int, ...]:
    """Numbers of the forget rows that are not scored: those that leaked, of whole facts all that tell the same.

    Raises:
        AttackError: Nothing is left to score.
    """
    if not spec.whole_facts:
        return leaked
    held = {pairs.facts[row] for row in leaked}
    rows = tuple(row for row, fact in enumerate(pairs.facts) if fact in held)
    if len(rows) == len(pairs):
        raise AttackError(f"with {len(leaked)} forget rows every fact leaked, and none is left to score; leak fewer")
    return rows


def _halves(pairs: Pairs, random: Random) -> list[int]:
    """Half of each person's rows, rounded down."""
    people: dict[str | None, list[int]] = defaultdict(list)
    for row, person in enumerate(pairs.identity_ids):
        people[person].append(row)
    return [row for rows in people.values() for row in random.sample(rows, len(rows) // 2)]
