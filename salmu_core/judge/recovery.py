"""How much of what was forgotten an attack brings back, held against what it brings from Clean. Needs no torch.

Everything is over the forget rows that the attacker did not hold, row by row, with intervals over people.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from salmu_core.contract.layout import ROLES
from salmu_core.judge.attacked import Attacked
from salmu_core.judge.protocol import MAX_RECOVERED
from salmu_core.judge.recoverable import Recovery, judged
from salmu_core.judge.repeats import Repeats
from salmu_core.judge.results import Results, Row
from salmu_core.judge.statistics import CONFIDENCE, Clusters, Interval
from salmu_core.store.attacks import AttackKey

#: ``make(run, clean, compromised)``: rows of a derived figure, of the three under one attack.
_Make = Callable[[Attacked, Attacked, Attacked], Clusters]


def distinct(settings: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings in which some other differs, as ``name=value``; for those of a wrapped loss, some other over it."""
    same = [other for other in others if other.get("loss") == settings.get("loss")]
    among = {name: same if name.startswith("settings.") else others for name in settings}
    return [f"{name}={value}" for name, value in settings.items() if any(o.get(name) != value for o in among[name])]


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
    return judged(
        [
            recovery
            for key, label in attack_labels(results).items()
            if any(key in row.attacks for row in rows)
            for recovery in _of_attack(key, label, rows, results)
        ]
    )


def _of_attack(key: AttackKey, label: str, rows: Sequence[Row], results: Results) -> Iterable[Recovery]:
    made, known = _usable(Recovery(key[0], label, key[1]), rows, results)
    query, queries = _leading(made)
    models = [*(row.attacks for row in rows), *(it.attacks for it in results.references[rows[0].world].values())]
    given = next((it.record.given for each in models if (it := each.get(key)) and it.record), ())
    known = replace(known, query=query, queries=queries, given=given)
    figures = dict.fromkeys(name for trio in made.values() for name in trio[0].after)
    if not figures:
        yield known
    for name in figures:
        yield _by_figure(known, name, made)


#: World and seed -> the run, Clean and Compromised, each under the attack.
_Made = Mapping[tuple[str, int], tuple[Attacked, Attacked, Attacked]]


def _usable(known: Recovery, rows: Sequence[Row], results: Results) -> tuple[_Made, Recovery]:
    """Runs whose attack can be held against the reference models'; why others can't, and whether by their own fault."""
    key = known.attack, known.config_hash
    made: dict[tuple[str, int], tuple[Attacked, Attacked, Attacked]] = {}
    lacking: Counter[str] = Counter()
    nobodys: list[str] = []
    incomplete = False
    for row in rows:
        clean, compromised = (results.references[row.world][role].attacks.get(key) for role in ROLES)
        attacked = row.attacks.get(key)
        absent = [
            (role, model)
            for role, model in (("the run", attacked), ("Clean", clean), ("Compromised", compromised))
            if model is None or model.status != "valid"
        ]
        if attacked is None or clean is None or compromised is None or absent:
            role, model = min(absent, key=lambda one: one[1] is not None and one[1].is_done)  # failures first
            why = f"{model.status}: {model.reason}" if model else "not attacked yet: run `salmu run` again"
            lacking[why if role == "the run" else f"{role} under the same attack is {why}"] += 1
            incomplete |= (alone := [who for who, _ in absent] == ["the run"])
            if model and model.is_done and not alone:
                nobodys.append(model.reason if role == "the run" else f"on {role}, {model.reason}")
        elif not attacked.made_of == clean.made_of == compromised.made_of:
            lacking[
                "other rows leaked, or other data or code made it, than of the reference models: run `salmu run --redo`"
            ] += 1
        else:
            made[row.world, row.seed] = attacked, clean, compromised
    if len(nobodys) == len(rows):
        return {}, replace(known, not_measured={"": "; ".join(dict.fromkeys(nobodys))})
    # A third party's names and reasons: who shows them escapes them.
    line = f"{known.label} on {rows[0].method}" + (f", budget {rows[0].record.budget:g}" if rows[0].record else "")
    problems = [f"{line}: no result of {n} of {len(rows)} runs: {why}" for why, n in lacking.items()]
    return _alike(made, replace(known, problems=tuple(problems), incomplete=incomplete))


def _alike(made: _Made, known: Recovery) -> tuple[_Made, Recovery]:
    """Only the queries, readings and stages that are measured of all models; a run that alone lacks one is at fault."""
    lacking = {label: why for trio in made.values() for it in trio for label, why in it.not_measured.items()}
    alone = any({*run.not_measured} - {*clean.not_measured, *top.not_measured} for run, clean, top in made.values())
    known = replace(known, not_measured=lacking, incomplete=known.incomplete or alone)
    if any(it.queries and it.queries.keys() <= lacking.keys() for trio in made.values() for it in trio):
        return {}, replace(known, not_measured=lacking | {"": "nothing of it is measured of all models alike"})

    def kept(it: Attacked) -> Attacked:
        return replace(it, queries={label: query for label, query in it.queries.items() if label not in lacking})

    return {place: (kept(run), kept(clean), kept(top)) for place, (run, clean, top) in made.items()}, known


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
    run = next(iter(made.values()))[0]
    told = []
    for stage in run.record.details.get("stages", ()) if run.record and run.record.kind == "model" else ():
        if stage["label"] not in run.queries:
            continue
        there = {name: _repeats(_asked(made, stage["label"]), make) for name, make in figures.items()}
        place = {name: stage[name] for name in ("label", "curve", "step")}
        told.append(place | {name: repeats.value for name, repeats in there.items() if repeats})
    return tuple(told)


def _curves(every: _Made, name: str, stages: Sequence[Mapping[str, Any]], before: float) -> Iterator[Mapping[str, Any]]:
    """What each curve of at least two stages shows."""
    placed = sorted((it for it in stages if it["step"] is not None and "recovered" in it), key=lambda it: it["step"])
    for curve in dict.fromkeys(stage["curve"] for stage in stages):
        there = [stage for stage in placed if stage["curve"] == curve]
        if len(there) > 1 and there[0]["step"] > 0:
            yield {"curve": curve, **_on_the_way(every, name, there, before)}


def _on_the_way(every: _Made, name: str, there: Sequence[Mapping[str, Any]], before: float) -> Mapping[str, Any]:
    """The mean share that is back up to the last stage, by the trapezium rule, and how soon half of the leak is."""
    steps = np.array([0.0, *(stage["step"] for stage in there)])
    weights = np.convolve(np.diff(steps), [0.5, 0.5]) / steps[-1]

    def mean(run: Attacked, clean: Attacked, compromised: Attacked) -> Clusters:
        models = [(run.queries[stage["label"]], clean.queries[stage["label"]]) for stage in there]
        gaps = [run.before[name] - clean.before[name], *(one.after[name] - it.after[name] for one, it in models)]
        sums = weights @ np.array([gap.sums for gap in gaps])
        return replace(gaps[0], sums=sums).per(compromised.before[name] - clean.before[name])

    shares = np.array([before, *(stage["recovered"] for stage in there)])
    reached = np.flatnonzero(shares >= 0.5)[:1]
    ends = [slice(max(0, place - 1), place + 1) for place in reached]
    half = [float(np.interp(0.5, shares[end], steps[end])) for end in ends]
    told = _repeats(every, mean)
    return {"steps": float(steps[-1]), "mean": told.interval() if told else None, "half": half[0] if half else None}


def _by_figure(known: Recovery, name: str, every: _Made) -> Recovery:
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
    )
    there = _repeats(made, gap)
    if there is None or not there.interval().low > 0:
        why = (
            f"{known.label}: on the rows that the attacker did not hold, Compromised is not shown to leak more than "
            f"Clean by {name}, so there is nothing of which a share could be recovered"
        )
        return replace(recovery, problems=(*known.problems, why))
    asked = {label: _asked(every, label) for label in next(iter(every.values()))[0].queries} or {"": every}
    told = {label: _repeats(there, lambda *trio: above_clean(*trio).per(gap(*trio))) for label, there in asked.items()}
    shares = {label: repeats for label, repeats in told.items() if repeats}
    back = {label: {"recovered": repeats.value} for label, repeats in shares.items()}
    stages = tuple({**stage, **back.get(stage["label"], {})} for stage in recovery.stages)
    before = share(lambda run, clean, _: run.before[name] - clean.before[name])
    return replace(
        recovery,
        recovered=share(above_clean),
        bar=_bar(made, name),
        shares=shares,
        stages=stages,
        curves=tuple(_curves(every, name, stages, before.value)) if before else (),
        before=before,
        gained=share(
            lambda run, clean, _: (run.after[name] - clean.after[name]) - (run.before[name] - clean.before[name])
        ),
        control=share(lambda _, clean, compromised: compromised.after[name] - clean.after[name]),
    )


def _bar(made: _Made, name: str) -> float:
    """The share that may be recovered: no model can be asked to leak less than one that guesses."""
    bars = []
    for run, clean, compromised in made.values():
        entries = run.record.metrics.values() if run.record else ()
        chance = next((entry.chance[name] for entry in entries if name in entry.chance), -np.inf)
        beyond = compromised.before[name].mean - clean.before[name].mean
        bars.append(max(MAX_RECOVERED, (chance - clean.after[name].mean) / beyond) if beyond > 0 else MAX_RECOVERED)
    return float(np.mean(bars))


def _repeats(made: _Made, make: _Make) -> Repeats | None:
    """A derived figure over worlds and seeds; of those that lack what it is made from, nothing."""
    worlds: dict[str, dict[int, Clusters]] = defaultdict(dict)
    for (world, seed), trio in made.items():
        try:
            worlds[world][seed] = make(*trio)
        except (KeyError, ValueError):  # a figure is missing, or of other rows
            continue
    return Repeats.of(worlds) if worlds else None
