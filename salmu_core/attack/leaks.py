"""Which forget rows an attacker holds, and which metrics tell what leaks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from random import Random

from salmu_core.contract.attack import AttackSpec
from salmu_core.contract.config import MethodConfig
from salmu_core.contract.features import Pairs
from salmu_core.contract.layout import FORGET
from salmu_core.contract.specs import MetricSpec
from salmu_core.errors import AttackError
from salmu_core.plugins import Declared
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


def leak_metrics(metrics: Iterable[Declared[MetricSpec]]) -> list[Declared[MetricSpec]]:
    """The metrics of role ``leak``, the leading one first."""
    return sorted((m for m in metrics if _role(m.spec) == "leak"), key=lambda m: not m.spec.primary)


def attacked_metrics(metrics: Iterable[Declared[MetricSpec]]) -> list[Declared[MetricSpec]]:
    """What is computed of an attacked checkpoint: leaks, then cosines of forget pairs, which cost nothing beside."""
    known = list(metrics)
    cosines = [m for m in known if _role(m.spec) == "association" and m.spec.reads[0].startswith(FORGET)]
    return [*leak_metrics(known), *cosines]


def _role(spec: MetricSpec) -> str:
    leading = "leak" if spec.primary and spec.pillar == "efficacy" else ""
    return getattr(spec, "role", leading)


def people_of(pairs: Pairs, rows: Sequence[int]) -> int:
    """Number of people shown in some rows."""
    return len({pairs.identity_ids[row] for row in rows})
