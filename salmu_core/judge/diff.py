"""Two models row by row: every figure's difference, and the people it moved most."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from salmu_core.contract.layout import ROLES
from salmu_core.disk.hashing import EVERY_BYTE
from salmu_core.errors import SchemaError, UsageError
from salmu_core.judge.attacked import read_attacks
from salmu_core.judge.changes import KINDS, Change, Difference, Fact, Moved, Ranks
from salmu_core.judge.diagnosis import RECOVERABLE
from salmu_core.judge.recoverable import Recovery, worst
from salmu_core.judge.recovery import recoveries
from salmu_core.judge.repeats import Repeats
from salmu_core.judge.results import Reference, Results, Row
from salmu_core.judge.single import ScoredModel, read_scored
from salmu_core.judge.statistics import Clusters, holm
from salmu_core.judge.targets import Column, columns, having
from salmu_core.store.folders import METRICS, RANK
from salmu_core.store.records import RunRecord


def read_two(a: Path, b: Path) -> tuple[ScoredModel, ScoredModel]:
    """Read two models that can be held against each other.

    Raises:
        UsageError: They are the same, of other data, or one of them can't be compared with anything.
        StoreError: One is damaged.
    """
    if a.expanduser().resolve() == b.expanduser().resolve():
        raise UsageError(f"A and B are the same folder, {a}: give two.")
    one, other = read_scored(a), read_scored(b)
    if one.metrics.data_hash != other.metrics.data_hash:
        raise UsageError(
            f"A is of other data ({_data(one)}) than B ({_data(other)}): only models of the same data can be paired "
            "row by row. `salmu results` compares methods over several worlds."
        )
    if one.metrics.zeroshot_hash != other.metrics.zeroshot_hash:
        raise UsageError(
            "A was scored with another zero-shot set than B: `salmu run` again scores both with the one there is now."
        )
    if one.metrics.checkpoint_hash == other.metrics.checkpoint_hash:
        raise UsageError(f"A and B have the same weights ({one.metrics.checkpoint_hash[:12]}): nothing differs.")
    if not one.metrics.values.keys() & other.metrics.values.keys():
        raise UsageError("A and B have no figure in common: `salmu run` again scores both.")
    return one, other


def _data(model: ScoredModel) -> str:
    return f"{model.metrics.benchmark} {model.metrics.data_hash[:12]}"


def compare_two(a: ScoredModel, b: ScoredModel) -> Difference:
    """Hold two models of the same data against each other.

    Raises:
        StoreError: A reference model beside them is damaged.
    """
    beside, notes = _beside(a, b)
    known = columns([a.metrics.metrics, b.metrics.metrics])
    changes = _changes(a, b, known, beside)
    tails = {name: (value, b.tails[name]) for name, value in a.tails.items() if name in b.tails}
    notes += [f"{c.name} is not of the same rows in A and B, and so not paired." for c in changes if c.gap is None]
    for side, one, other in (("A", a, b), ("B", b, a)):
        if only := [name for name in one.metrics.values if name not in other.metrics.values]:
            notes.append(f"Only {side} has {', '.join(only)}.")
        lacking = {**one.metrics.errors, **one.metrics.not_measured}
        notes += [f"{side} has no {metric}: {why}" for metric, why in lacking.items()]
    tried = {id(model): _attacked(model, beside) for model in (a, b) if model.record}
    gaps = (gap for found in tried.values() for it in found for gap in replace(it, problems=()).gaps)
    notes += [f"{gap}." for gap in dict.fromkeys(gaps)]
    return Difference(a, b, changes, tails, _facts(a, b, tried), _ranks(a, b, known), _people(a, b, known), notes)


def _beside(a: ScoredModel, b: ScoredModel) -> tuple[dict[str, ScoredModel], list[str]]:
    """The reference models that lie beside one of two models, and why others can't be used."""
    references: dict[str, ScoredModel] = {}
    notes = []
    for role in ROLES:
        for folder in dict.fromkeys(model.references / role for model in (a, b)):
            if role in references or not (folder / METRICS).is_file():
                continue
            try:
                model = read_scored(folder)
            except (UsageError, SchemaError) as error:
                notes.append(f"{role.capitalize()} is left out: {error}")
                continue
            if model.metrics.scored_on == a.metrics.scored_on:
                references[role] = model
    return references, notes


def _changes(
    a: ScoredModel, b: ScoredModel, columns: Sequence[Column], beside: Mapping[str, ScoredModel]
) -> list[Change]:
    changes = []
    for column in columns:
        name = column.name
        if name not in a.figures or name not in b.figures:
            continue
        one, other = a.figures[name], b.figures[name]
        goal = beside[column.target].figures.get(name) if column.target in beside else None
        changes.append(
            Change(
                name,
                column.target,
                one.mean,
                other.mean,
                _paired(other, one),
                reference=goal.mean if goal else None,
                closer=_paired(_distance(one, goal), _distance(other, goal)) if goal else None,
            )
        )
    differ = holm({c.name: c.gap.p_value() for c in changes if c.gap})
    nearer = holm({c.name: c.closer.p_value() for c in changes if c.closer})
    return [replace(c, p=differ.get(c.name), p_closer=nearer.get(c.name)) for c in changes]


def _distance(rows: Clusters, goal: Clusters) -> Clusters | None:
    """Rows whose mean is how far a figure lies from its target, on whichever side; None where they don't match."""
    if not rows.same_rows(goal):
        return None
    return rows - goal if rows.mean >= goal.mean else goal - rows


def _paired(one: Clusters | None, other: Clusters | None) -> Repeats | None:
    if one is None or other is None or not one.same_rows(other):
        return None
    return Repeats({"": {0: one - other}})


def _facts(a: ScoredModel, b: ScoredModel, tried: Mapping[int, Sequence[Recovery]]) -> list[Fact]:
    """How two runs differ; beside a reference model, only how they were scored."""
    one, other = _scored(a), _scored(b)
    if a.record and b.record:
        one, other = (
            {**_made(made), **scored, ("attack", RECOVERABLE): _recoverable(tried[id(it)])}
            for it, made, scored in ((a, a.record, one), (b, b.record, other))
        )
    facts = [Fact(*key, one.get(key), other.get(key)) for key in {**one, **other} if one.get(key) != other.get(key)]
    return sorted(facts, key=lambda fact: KINDS.index(fact.kind))


def _made(record: RunRecord) -> dict[tuple[str, str], Any]:
    """Kind and name -> everything that made a run what it is."""
    return {
        ("run", "method"): record.method,
        ("run", "budget"): record.budget,
        ("run", "seed"): record.seed,
        ("run", "data drawn"): record.needs,
        ("run", "start model"): record.benchmark.start_model_hash,
        ("run", "begun with"): record.origin or "Compromised",
        ("run", "request"): record.request.label or "the whole forget set",
        **{("setting", name): value for name, value in record.settings.items()},
        ("code", "plugin"): f"{record.plugin.distribution} {record.plugin.version}",
        ("code", "plugin's code"): record.plugin.code_hash,
        **{("code", name): version for name, version in record.environment.items()},
        **{("cost", name.replace("_", " ")): spent for name, spent in record.ledger.model_dump().items()},
    }


def _scored(model: ScoredModel) -> dict[tuple[str, str], Any]:
    return {("code", f"metric {name}"): entry.code_hash for name, entry in model.metrics.metrics.items()}


def _attacked(run: ScoredModel, beside: Mapping[str, ScoredModel]) -> Sequence[Recovery]:
    """What attacks bring back from a run."""
    own, *others = (read_attacks(it.folder, it.metrics, EVERY_BYTE) for it in (run, *beside.values()))
    models = dict.fromkeys(ROLES, Reference()) | dict(
        zip(beside, (Reference(attacks=it) for it in others), strict=True)
    )
    row = Row(run.folder, "", run.name, run.record, "valid", attacks=own)
    return recoveries([row], Results("", {"": models}, [row]))


def _recoverable(found: Sequence[Recovery]) -> str | None:
    """Whether a run is recoverable, and by the worst attack; None where none was made that tells."""
    it = worst(found)
    return f"{it.verdict}: {it.label} {it.share}" if it else None


def _ranks(a: ScoredModel, b: ScoredModel, known: Sequence[Column]) -> Ranks | None:
    searching = next((c.metric for c in having(known, "leak") if c.ranked), "")
    one, other = (model.rows(RANK, searching) for model in (a, b))
    if one is None or other is None:
        return None
    in_b = other.by_name
    pairs = [(rank, in_b[name]) for name, rank in one.by_name.items() if name in in_b]
    return Ranks(*np.array(pairs).T) if pairs else None


def _people(a: ScoredModel, b: ScoredModel, known: Sequence[Column]) -> list[Moved]:
    leak = next(iter(having(known, "leak")), None)
    one, other = (model.rows(leak.name, leak.metric) if leak else None for model in (a, b))
    if one is None or other is None:
        return []
    in_b, pairs = other.by_name, defaultdict(list)
    for name, who, value in zip(one.file_names, one.people, one.values, strict=True):
        if who is not None and name in in_b:
            pairs[who].append((float(value), in_b[name]))
    moved = [Moved(who, len(rows), *np.mean(rows, axis=0).tolist()) for who, rows in pairs.items()]
    return sorted(moved, key=lambda person: (person.change, person.identity_id))
