"""``salmu plan``: the arguments of ``salmu run``, and lines for a scheduler instead of results. Light to import."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from salmu_core.cli.run import run
from salmu_core.errors import UsageError
from salmu_plan.forms import Form

if TYPE_CHECKING:
    from salmu_plan.lines import Line

app = typer.Typer()

#: Arguments of `salmu run` that say which runs there are, or that are no command's of a single one.
_WHICH = {
    *("methods", "everything", "benchmark", "budget", "seed", "world", "retain", "retain_share", "start", "requests"),
    *("attack", "settings", "config", "output", "mixed_precision", "as_json"),
    *("checkpoint_every", "run_timeout", "run_memory"),
}
Cards = Annotated[int | None, typer.Option(min=0, help="Cards of each line.  [default: estimated]")]
Memory = Annotated[int | None, typer.Option(min=1, metavar="GB", help="Memory of each line.  [default: estimated]")]
Minutes = Annotated[int | None, typer.Option(min=1, help="Wall time of each line.  [default: estimated]")]
As = Annotated[Form, typer.Option("--as", help="For whom the plan is written.")]
Finished = Annotated[bool, typer.Option("--finished", help="List what is finished too.")]


def plan(form: Form, cards: int | None, memory: int | None, minutes: int | None, finished: bool, **words: Any) -> None:
    """List a study as lines for a scheduler: a command each, with cards, memory and minutes.

    It takes the arguments of `salmu run`, and makes none. Requests of a sequence are one line. Where finished runs of
    a method lie in the results folder, its lines are estimated by them (twice the costliest, and 10 minutes and 4 GB
    for loading and scoring); else a run has an hour, 8 GB and a card.
    """
    from salmu_core.cli.output import print_json, print_text, say
    from salmu_core.cli.progress import reporting
    from salmu_core.cli.run import asked_for
    from salmu_core.plugins.zoo import discover
    from salmu_core.store.folders import Store
    from salmu_core.study.prepare import check, prepare
    from salmu_plan import forms
    from salmu_plan.lines import lines, unscored
    from salmu_plan.needs import needs_of

    study, overrides = asked_for(words)
    store, zoo = Store(words["output"]), discover(fresh=study.methods is None, kinds=["method"])
    check(study, overrides, zoo)
    with reporting(to_stderr=True) as reporter:
        _, works = prepare(study, overrides, zoo, store, reporter)
    given = {"cards": cards, "memory": memory, "minutes": minutes}
    asked = {name: value for name, value in given.items() if value is not None}
    every = [
        *lines(
            *(study, overrides, works, zoo, store, [*_said(words)]),
            lambda runs: needs_of(runs, study, store, asked),
            bool(words["redo"]),
        )
    ]
    listed = [line for line in every if finished or not line.finished]
    for name in unscored(works, zoo, store) if listed else ():
        say(f"{name}: its reference models are not scored yet. Carry out one line before the others.", stderr=True)
    if words["as_json"]:
        print_json([*map(_facts, listed)])
    elif not listed:
        say(f"Nothing to do: all {len(every)} are finished, in {store.root}.", stderr=form is not Form.TABLE)
    elif form is Form.TABLE:
        _show(listed, len(every) - len(listed))
    else:
        write = {Form.JSONL: forms.jsonl, Form.SHELL: forms.plain, Form.SLURM: forms.slurm}
        print_text(write.get(form, forms.hyperqueue)(listed))


def _facts(line: Line) -> dict[str, Any]:
    import json

    from salmu_plan.forms import jsonl

    facts: dict[str, Any] = json.loads(jsonl([line]))
    return facts


def _said(words: Mapping[str, Any]) -> Iterator[str]:
    """How runs are to be carried out, as it was said to this command and as each line says it again."""
    for name, parameter in inspect.signature(run, eval_str=True).parameters.items():
        value = words.get(name, parameter.default)
        if name in _WHICH or value == parameter.default:
            continue
        option = _option(name, parameter)
        if isinstance(value, bool):
            yield option
        else:
            for one in value if isinstance(value, list) else [value]:
                yield from (option, str(one))


def _option(name: str, parameter: inspect.Parameter) -> str:
    """What an argument is called on the command line."""
    (info,) = (m for m in parameter.annotation.__metadata__ if hasattr(m, "param_decls"))
    return next((word for word in info.param_decls or () if word.startswith("--")), f"--{name.replace('_', '-')}")


def _show(listed: Sequence[Line], left_out: int) -> None:
    from rich.table import Table
    from rich.text import Text

    from salmu_core.cli.output import console, say

    table = Table(box=None, pad_edge=False)
    for header in ("run", "cards", "GB", "minutes", "by"):
        table.add_column(header, justify="left" if header in ("run", "by") else "right", no_wrap=header != "run")
    for line in listed:
        needs = line.needs
        label = f"{line.label} (finished)" if line.finished else line.label
        table.add_row(Text(label), *map(str, (needs.cards, needs.memory, needs.minutes, needs.by)))
    console().print(table)
    hours = sum(line.needs.minutes for line in listed) / 60
    rest = f"; {left_out} more finished" if left_out else ""
    say(f"{len(listed)} lines, {hours:.1f} hours at most{rest}. `--as shell` prints their commands.")


def _signature() -> inspect.Signature:
    """The arguments of `salmu run`, as they are in this version, and those of a plan."""
    own: dict[str, tuple[Any, Any]] = {
        "form": (As, Form.TABLE),
        "cards": (Cards, None),
        "memory": (Memory, None),
        "minutes": (Minutes, None),
    }
    own |= {"finished": (Finished, False)}
    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [inspect.Parameter(n, keyword, default=value, annotation=kind) for n, (kind, value) in own.items()]
    theirs = [p.replace(kind=keyword) for p in inspect.signature(run, eval_str=True).parameters.values()]
    if taken := {p.name for p in theirs} & own.keys():
        raise UsageError(f"`salmu run` has {', '.join(sorted(taken))} too: pip install --upgrade salmu-plan.")
    return inspect.Signature([*theirs, *added], return_annotation=None)


plan.__signature__ = _signature()  # type: ignore[attr-defined]
plan.__annotations__ = {p.name: p.annotation for p in plan.__signature__.parameters.values()}  # type: ignore[attr-defined]
app.command()(plan)
