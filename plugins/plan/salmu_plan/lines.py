"""The lines of a plan: a run, or all requests of a sequence, in one command. Nothing here needs torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from salmu_core.plugins.zoo import Zoo
from salmu_core.show.escape import shell
from salmu_core.store.folders import RunKey, Store
from salmu_core.study.plan import Planned, Study
from salmu_core.study.prepare import Work
from salmu_core.study.todo import Outstanding, outstanding
from salmu_plan.needs import Needs

#: Which settings of a study concern how it is carried out, and the option that says each.
HOW = {"checkpoint_every": "--checkpoint-every", "run_timeout": "--run-timeout", "run_memory": "--run-memory"}


@dataclass(frozen=True)
class Line:
    """What a scheduler is given.

    Attributes:
        label: Which run it is.
        command: For a shell.
        runs: How many runs it makes, one after another.
        finished: Whether all of it is there.
    """

    label: str
    command: str
    runs: int
    finished: bool
    needs: Needs


def lines(
    study: Study,
    overrides: Mapping[str, Mapping[str, object]],
    works: Sequence[Work],
    zoo: Zoo,
    store: Store,
    more: Sequence[str],
    needs: Callable[[Sequence[Planned]], Needs],
    redo: bool = False,
) -> Iterator[Line]:
    """One for each run, or sequence of requests, in the order of the study.

    Args:
        more: Words that every command has beside its own.
        needs: What runs need.
        redo: Whether nothing counts as finished.
    """
    metrics = list(zoo.metrics.values())
    tail = shell(["--output", str(store.root), *_how(study), *_attacks(study, overrides), *more])
    for work in works:
        unfinished = _targets(outstanding(work.plan, work.benchmark, store, metrics, redo, work.attacks))
        sequences: dict[RunKey, list[Planned]] = {}
        for planned in work.plan:
            sequences.setdefault(planned.key.sequence, []).append(planned)
        for key, runs in sequences.items():
            finished = not any(planned.key in unfinished for planned in runs)
            label = f"{key.benchmark} {key}" + f", {len(runs)} requests" * (len(runs) > 1)
            yield Line(label, f"{runs[-1].command} {tail}", len(runs), finished, needs(runs))


def unscored(works: Sequence[Work], zoo: Zoo, store: Store) -> list[str]:
    """Names of benchmarks whose reference models every line would score."""
    metrics = list(zoo.metrics.values())
    return [work.benchmark.name for work in works if outstanding([], work.benchmark, store, metrics).references]


def _targets(todo: Outstanding) -> set[RunKey]:
    attacked = [assault.target for assault in todo.attacks if not isinstance(assault.target, str)]
    return {planned.key for planned in (*todo.runs, *todo.checkpoints, *attacked)}


def _how(study: Study) -> Iterator[str]:
    """What a study says beside its runs, wherever it says it."""
    for name, option in HOW.items():
        if (value := getattr(study, name)) != type(study).model_fields[name].default:
            yield from (option, value)


def _attacks(study: Study, overrides: Mapping[str, Mapping[str, object]]) -> Iterator[str]:
    """Its attacks, with their settings."""
    for name in study.attacks:
        yield from ("--attack", name)
        given = study.config.get(name, {})
        for field, value in ({**given, **overrides.get(name, {})} if isinstance(given, dict) else {}).items():
            yield from ("--set", f"{name}.{field}={value if isinstance(value, str) else json.dumps(value)}")
