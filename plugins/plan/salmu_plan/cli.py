"""``salmu plan``: what `salmu run` would do, as one line a run. Light to import."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from salmu_core.cli.run import run
from salmu_plan.form import Form

app = typer.Typer()

#: Options of `salmu run` that say how it is carried out here, and so nothing of a plan.
_NOT_PLANNED = {"processes", "on", "as_json"}
#: Those that every command of a plan has as they were given, by what they are called.
_HANDED_ON = {
    "tracker": "--tracker",
    "redo": "--redo",
    "threads": "--threads",
    "micro_batch": "--micro-batch",
    "checkpoint_every": "--checkpoint-every",
    "run_timeout": "--run-timeout",
    "run_memory": "--run-memory",
    "compile": "--compile",
    "attack": "--attack",
}


def _plan(
    form: Form, finished: bool, cards: float | None, memory: str | None, minutes: int | None, **typed: Any
) -> None:
    """Print a study as one line a run, for any scheduler: command, cards, memory, minutes. Nothing is run.

    What a run will take is what runs of its method took, half as much again; the study file's resources, and
    options, go over it. Requests of a sequence are one line. Finished runs are left out.
    """
    from salmu_core.cli.progress import reporting
    from salmu_core.cli.run import asked_for
    from salmu_core.disk.space import size_of
    from salmu_core.plugins.zoo import discover
    from salmu_core.store.folders import Store
    from salmu_core.study.prepare import check, prepare
    from salmu_core.study.todo import outstanding
    from salmu_plan.forms import show
    from salmu_plan.lines import GIB, Needs, lines_of

    study, overrides = asked_for({**typed, "processes": None, "on": None})
    needs = Needs(cards, size_of(memory, "--memory") / GIB if memory else None, minutes)
    store, zoo = Store(typed["output"].absolute()), discover(fresh=not study.named, kinds=["method"])
    check(study, overrides, zoo)
    with reporting(to_stderr=True) as reporter:
        _, works = prepare(study, overrides, zoo, store, reporter)
        metrics = list(zoo.metrics.values())
        todos = [outstanding(w.plan, w.benchmark, store, metrics, typed["redo"], w.attacks) for w in works]
    unmade = {run.key.path.as_posix() for todo in todos for run in (*todo.runs, *todo.checkpoints)}
    targets = (assault.target for todo in todos for assault in todo.attacks)
    unmade |= {target.key.path.as_posix() for target in targets if not isinstance(target, str)}
    lines = [*lines_of(works, study, store, unmade, needs, handed_on(typed))]
    show(form, [line for line in lines if finished or not line.finished], len(lines), store)


def handed_on(typed: dict[str, Any]) -> list[str]:
    """Options that every command of a plan has, as words; those that were left at their defaults are left out."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(run).parameters.items()}
    words: list[str] = []
    for name, option in _HANDED_ON.items():
        value = typed[name]
        if value in (defaults[name], None, []):
            continue
        values = value if isinstance(value, list) else [value]
        words += [option] if value is True else [word for one in values for word in (option, str(one))]
    return words


def _signature() -> inspect.Signature:
    """The options of `salmu run`, as far as they say what is planned, and the plan's own."""
    theirs = inspect.signature(run, eval_str=True).parameters
    own = {
        "form": (Annotated[Form, typer.Option("--as", help="How it is printed.")], Form.TABLE),
        "finished": (Annotated[bool, typer.Option("--finished", help="Finished runs too.")], False),
        "cards": (Annotated[float | None, typer.Option(min=0, max=1, help="Accelerators of every run.")], None),
        "memory": (Annotated[str | None, typer.Option(metavar="SIZE", help="Memory of every run, as 16GB.")], None),
        "minutes": (Annotated[int | None, typer.Option(min=1, help="Time of every run.")], None),
    }
    keyword = inspect.Parameter.KEYWORD_ONLY
    more = [inspect.Parameter(n, keyword, default=d, annotation=a) for n, (a, d) in own.items()]
    kept = [p.replace(kind=keyword) for name, p in theirs.items() if name not in _NOT_PLANNED]
    return inspect.Signature([*kept, *more])


def plan(**typed: Any) -> None:
    """Stands for `_plan`, with the options of `salmu run`."""
    _plan(**typed)


plan.__doc__ = _plan.__doc__
plan.__signature__ = _signature()  # type: ignore[attr-defined]
plan.__annotations__ = {name: parameter.annotation for name, parameter in _signature().parameters.items()}
app.command()(plan)
