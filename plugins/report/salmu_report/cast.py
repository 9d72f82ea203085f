"""The leak on people's portraits: whom to show, and which of their pictures. Needs no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from salmu_core.contract.layout import FORGET, HOLDOUT_IDENTITY
from salmu_core.judge.results import Reference, Row
from salmu_core.judge.statistics import Clusters
from salmu_core.judge.targets import Column, leading
from salmu_report.people import Association, Group, People, Person

#: Portraits shown of a person.
PORTRAITS = 4
#: Those worth looking at first: what does the most harm in the wrong hands.
_FIRST = ("iban", "phone_number", "credit_card", "passport", "emails", "name", "city", "job", "blood_type")
_SEED = 42


@dataclass(frozen=True)
class Cast:
    """The people shown of one world.

    Attributes:
        people: Everybody of the benchmark.
        reasons: Whom to show, and why: a word or two, or nothing for those who were drawn.
        portraits: Identity -> the associations whose images are shown.
    """

    people: People
    reasons: Mapping[str, str]
    portraits: Mapping[str, Sequence[Association]]


def cast(
    people: People,
    wanted: int,
    named: Sequence[str],
    rows: Sequence[Row],
    models: Mapping[str, Reference],
    columns: Sequence[Column],
) -> Cast:
    """Choose whom to show: those who were asked for, those the runs treat worst, and a draw from the others.

    Args:
        people: Everybody.
        wanted: How many in all, the same number of each group as far as there are such.
        named: Identities that must be among them.
        rows: The world's valid runs.
        models: Its reference models.
        columns: All figures.
    """
    leak, kept = leading(columns, "leak"), leading(columns, "association", HOLDOUT_IDENTITY)
    reasons = {people.find(identity).identity_id: "asked for" for identity in named}
    for group, share in zip(Group, _shares(wanted, len(Group)), strict=True):
        members = [person.identity_id for person in people.by_id.values() if person.group is group]
        column = kept if group is Group.HELD_OUT else leak
        worst = _worst(members, group, rows, models, column)
        drawn = np.random.default_rng(_SEED).permutation(len(members))
        order = [*worst[: share // 2], *(members[i] for i in drawn)]
        chosen = [identity for identity in reasons if people.by_id[identity].group is group]
        for identity in dict.fromkeys(order):
            if len(chosen) < share and identity not in reasons:
                why = "leaks most in some run" if group is not Group.HELD_OUT else "most erased in some run"
                reasons[identity] = why if identity in worst[: share // 2] else ""
                chosen.append(identity)
    return Cast(people, reasons, {identity: portraits(people.by_id[identity]) for identity in reasons})


def _shares(count: int, parts: int) -> list[int]:
    return [count // parts + (i < count % parts) for i in range(parts)]


def _worst(
    members: Sequence[str], group: Group, rows: Sequence[Row], models: Mapping[str, Reference], column: str
) -> list[str]:
    """Members of a group, each the one some run treats worst, as many runs as name them first.

    A run that erases everything is no news of a held-out person, so what counts is how far a run's worst lies from
    its own mean.
    """
    sign = -1.0 if group is Group.HELD_OUT else 1.0
    start = models["compromised"].figures.get(column)
    votes: dict[str, float] = defaultdict(float)
    for row in rows:
        rows_of_run = row.figures.get(column)
        if rows_of_run is None or (group is Group.HELD_OUT and (start is None or not rows_of_run.same_rows(start))):
            continue
        change = rows_of_run if start is None or group is not Group.HELD_OUT else rows_of_run - start
        means = _by_person(change)
        measured = [identity for identity in members if identity in means]
        if len(measured) > 1:
            values = sign * np.array([means[identity] for identity in measured])
            spread = float(values.std()) or 1.0
            for identity, value in zip(measured, (values - values.mean()) / spread, strict=True):
                votes[identity] = max(votes[identity], float(value))
    return sorted(votes, key=lambda identity: (-votes[identity], identity))


def _by_person(rows: Clusters) -> dict[str, float]:
    means = (rows.sums / rows.counts).tolist()
    return {name.removeprefix("person "): mean for name, mean in zip(rows.names, means, strict=True)}


def portraits(person: Person) -> list[Association]:
    """Some of a person's associations, of different attributes; of the half-forgotten, some of each half."""
    halves: dict[bool, list[Association]] = defaultdict(list)
    for association in person.associations:
        halves[association.split == FORGET].append(association)
    chosen: list[Association] = []
    for half, share in zip(halves.values(), _shares(PORTRAITS, len(halves)), strict=True):
        first: dict[str, Association] = {}
        for association in half:
            first.setdefault(association.field, association)
        order = sorted(first, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
        # Start with what the other half does not show already.
        order.sort(key=lambda name: name in {other.field for other in chosen})
        picked = [first[name] for name in order][:share]
        chosen += picked + [a for a in half if a not in picked][: share - len(picked)]
    return chosen
