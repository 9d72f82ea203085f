"""How much of what was forgotten an attack brings back, held against what it brings from Clean. Needs no torch.

Everything is over the forget rows that the attacker did not hold, row by row, with intervals over people.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from salmu_core.contract.layout import ROLES
from salmu_core.judge.attacked import Attacked
from salmu_core.judge.repeats import Repeats
from salmu_core.judge.results import Results, Row
from salmu_core.judge.statistics import CONFIDENCE, Clusters, Interval, interval_json
from salmu_core.store.attacks import AttackKey

#: ``make(run, clean, compromised)``: rows of a derived figure, of the three under one attack.
_Make = Callable[[Attacked, Attacked, Attacked], Clusters]


@dataclass(frozen=True)
class Recovery:
    """What one attack brings back from the runs of a line, by one figure x that tells what leaks.

    Attributes:
        attack: Its name.
        label: The same, with the settings that tell its configurations apart.
        config_hash: Of its configuration, the beginning.
        figure: The figure.
        recovered: (attacked run - attacked Clean) / (Compromised - Clean); None where it can't be told.
        before: The same without an attack: (run - Clean) / (Compromised - Clean).
        gained: What the attack adds to that.
        control: What the attack brings from Compromised itself: an attack that brings nothing there shows nothing.
        clean: What it adds to Clean, which has nothing to give: attacked Clean - Clean, in units of the figure.
        attacked: The figure of the attacked runs.
        rank: Median rank of the attacked runs' captions; None where the metric has none.
        leaked: Forget rows that the attacker held.
        query: Label of the query by which all models were asked, or of the stage at which they were: of several the
            one by which the runs are furthest above Clean.
        queries: Among how many it was chosen; intervals are so wide that they hold for all of them at once.
        stages: Of an attack by stages ``label``, ``curve`` and ``step`` of each, the figure of the runs (``attacked``),
            ``clean`` and ``compromised`` there, and the share that is ``recovered``, where it can be told.
        problems: What is missing, and why, in sentences.
    """

    attack: str
    label: str
    config_hash: str
    figure: str = ""
    recovered: Interval | None = None
    before: Interval | None = None
    gained: Interval | None = None
    control: Interval | None = None
    clean: Interval | None = None
    attacked: Interval | None = None
    rank: float | None = None
    leaked: int = 0
    query: str = ""
    queries: int = 1
    stages: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def shown(self) -> bool:
        """Whether the attack is shown to bring back something that the method had hidden."""
        return self.gained is not None and self.gained.low > 0

    @property
    def weak(self) -> bool:
        """Whether the attack is not shown to bring back anything even from Compromised."""
        return self.control is not None and not self.control.low > 0

    def as_json(self) -> dict[str, Any]:
        """As ``salmu results --json`` prints it."""
        shares = {"recovered": self.recovered, "before": self.before, "gained": self.gained}
        shares |= {"from_compromised": self.control, "added_to_clean": self.clean, "attacked": self.attacked}
        return {
            "attack": self.attack,
            "label": self.label,
            "config_hash": self.config_hash,
            "figure": self.figure,
            **{name: interval_json(interval) if interval else None for name, interval in shares.items()},
            "median_rank": self.rank,
            "leaked": self.leaked,
            "query": self.query,
            "queries": self.queries,
            "stages": [dict(stage) for stage in self.stages],
            "weak": self.weak,
            "problems": list(self.problems),
        }


def distinct(settings: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings in which some other differs, as ``name=value``."""
    return [f"{name}={value}" for name, value in settings.items() if any(o.get(name) != value for o in others)]


def attack_labels(results: Results) -> dict[AttackKey, str]:
    """Attack and configuration -> the attack, with the settings that tell its configurations apart."""
    configs: dict[str, dict[AttackKey, Mapping[str, Any]]] = defaultdict(dict)
    models = [model for roles in results.references.values() for model in roles.values()]
    for attacks in [row.attacks for row in results.rows] + [model.attacks for model in models]:
        for key, attacked in attacks.items():
            configs[key[0]].setdefault(key, attacked.record.config if attacked.record else {})
    return {
        key: " ".join([name, *distinct(config, [*others.values()])])
        for name, others in sorted(configs.items())
        for key, config in sorted(others.items(), key=lambda item: [*map(_in_order, item[1].values())])
    }


def _in_order(value: object) -> tuple[float, str]:
    """Sorts settings, numbers by their size."""
    return (value, "") if isinstance(value, int | float) else (float("inf"), str(value))


def recoveries(rows: Sequence[Row], results: Results) -> tuple[Recovery, ...]:
    """What each attack brings back from some valid runs, by each figure that tells what leaks.

    Args:
        rows: Runs of one line.
        results: Where the reference models are.
    """
    return tuple(
        recovery
        for key, label in attack_labels(results).items()
        if any(key in row.attacks for row in rows)
        for recovery in _of_attack(key, label, rows, results)
    )


def _of_attack(key: AttackKey, label: str, rows: Sequence[Row], results: Results) -> Iterable[Recovery]:
    made, problems = _usable(key, label, rows, results)
    query, queries = _leading(made)
    known = Recovery(key[0], label, key[1], query=query, queries=queries)
    figures = dict.fromkeys(name for trio in made.values() for name in trio[0].after)
    if not figures:
        yield replace(known, problems=tuple(problems))
    for name in figures:
        yield _by_figure(known, name, made, problems)


#: World and seed -> the run, Clean and Compromised, each under the attack.
_Made = Mapping[tuple[str, int], tuple[Attacked, Attacked, Attacked]]


def _usable(key: AttackKey, label: str, rows: Sequence[Row], results: Results) -> tuple[_Made, list[str]]:
    """Runs whose attack can be held against the reference models', and why others can't."""
    made: dict[tuple[str, int], tuple[Attacked, Attacked, Attacked]] = {}
    lacking: Counter[str] = Counter()
    for row in rows:
        clean, compromised = (results.references[row.world][role].attacks.get(key) for role in ROLES)
        attacked = row.attacks.get(key)
        absent = [
            (role, model)
            for role, model in (("the run", attacked), ("Clean", clean), ("Compromised", compromised))
            if model is None or model.status != "valid"
        ]
        if attacked is None or clean is None or compromised is None or absent:
            role, model = absent[0]
            why = f"{model.status}: {model.reason}" if model else "not attacked yet: run `salmu run` again"
            lacking[why if role == "the run" else f"{role} under the same attack is {why}"] += 1
        elif not attacked.made_of == clean.made_of == compromised.made_of:
            lacking[
                "other rows leaked, or other data or code made it, than of the reference models: run `salmu run --redo`"
            ] += 1
        else:
            made[row.world, row.seed] = attacked, clean, compromised
    # A third party's names and reasons: who shows them escapes them.
    line = f"{label} on {rows[0].method}" + (f", budget {rows[0].record.budget:g}" if rows[0].record else "")
    return made, [f"{line}: no result of {n} of {len(rows)} runs: {why}" for why, n in lacking.items()]


def _asked(made: _Made, query: str) -> _Made:
    """All models as asked by one query, or as they are at one stage."""
    return {
        place: (run.queries[query], clean.queries[query], compromised.queries[query])
        for place, (run, clean, compromised) in made.items()
    }


def _leading(made: _Made) -> tuple[str, int]:
    """The query or stage that counts, and among how many it was chosen.

    What is easily told of a model that knows nothing is no sign of a leak, so one is taken by what it brings beyond
    Clean.
    """
    queries = [*next(iter(made.values()))[0].queries] if made else []

    def above_clean(query: str) -> float:
        trios = _asked(made, query).values()
        leads = next(iter(next(iter(trios))[0].after))
        return float(np.mean([run.after[leads].mean - clean.after[leads].mean for run, clean, _ in trios]))

    return max(queries, key=above_clean, default=""), len(queries) or 1  # of equals the first


def _stages(made: _Made, figures: Mapping[str, _Make]) -> tuple[Mapping[str, Any], ...]:
    """Some figures at each stage of an attack, beside what it says of its stages."""
    record = next(iter(made.values()))[0].record
    told = []
    for stage in record.details.get("stages", ()) if record and record.kind == "model" else ():
        there = {name: _repeats(_asked(made, stage["label"]), make) for name, make in figures.items()}
        place = {name: stage[name] for name in ("label", "curve", "step")}
        told.append(place | {name: repeats.value for name, repeats in there.items() if repeats})
    return tuple(told)


def _by_figure(known: Recovery, name: str, every: _Made, problems: Sequence[str]) -> Recovery:
    """One figure; shares only where Compromised is shown to know more of these rows than Clean."""
    made = _asked(every, known.query) if next(iter(every.values()))[0].queries else every

    def gap(_: Attacked, clean: Attacked, compromised: Attacked) -> Clusters:
        return compromised.before[name] - clean.before[name]

    def interval(make: _Make) -> Interval | None:
        repeats = _repeats(made, make)
        return repeats.interval(1 - (1 - CONFIDENCE) / known.queries) if repeats else None

    def share(part: _Make) -> Interval | None:
        return interval(lambda *trio: part(*trio).per(gap(*trio)))

    def above_clean(run: Attacked, clean: Attacked, _: Attacked) -> Clusters:
        return run.after[name] - clean.after[name]

    def after(place: int, *trio: Attacked) -> Clusters:
        return trio[place].after[name]

    figures: dict[str, _Make] = {who: partial(after, n) for n, who in enumerate(("attacked", "clean", "compromised"))}
    ranks = [run.ranks for run, *_ in made.values() if run.ranks is not None]
    leading = next(iter(next(iter(made.values()))[0].after)) == name
    recovery = replace(
        known,
        figure=name,
        attacked=interval(figures["attacked"]),
        clean=interval(lambda _, clean, __: clean.after[name] - clean.before[name]),
        rank=float(np.median(np.concatenate(ranks))) if ranks and leading else None,
        leaked=next((run.record.leaked.rows for run, *_ in made.values() if run.record), 0),
        stages=_stages(every, figures),
        problems=tuple(problems),
    )
    there = _repeats(made, gap)
    if there is None or not there.interval().low > 0:
        why = (
            f"{known.label}: on the rows that the attacker did not hold, Compromised is not shown to leak more than "
            f"Clean by {name}, so there is nothing of which a share could be recovered"
        )
        return replace(recovery, problems=(*problems, why))
    return replace(
        recovery,
        recovered=share(above_clean),
        stages=_stages(every, {**figures, "recovered": lambda *trio: above_clean(*trio).per(gap(*trio))}),
        before=share(lambda run, clean, _: run.before[name] - clean.before[name]),
        gained=share(
            lambda run, clean, _: (run.after[name] - clean.after[name]) - (run.before[name] - clean.before[name])
        ),
        control=share(lambda _, clean, compromised: compromised.after[name] - clean.after[name]),
    )


def _repeats(made: _Made, make: _Make) -> Repeats | None:
    """A derived figure over worlds and seeds; of those that lack what it is made from, nothing."""
    worlds: dict[str, dict[int, Clusters]] = defaultdict(dict)
    for (world, seed), trio in made.items():
        try:
            worlds[world][seed] = make(*trio)
        except (KeyError, ValueError):  # a figure is missing, or of other rows
            continue
    return Repeats.of(worlds) if worlds else None
