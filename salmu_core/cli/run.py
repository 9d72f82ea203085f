"""``salmu run``: what is asked for, the study that it makes, and the table at its end."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from salmu_core.cli.options import BenchmarkName, Json, Output, Precision, Threads, Worlds
from salmu_core.errors import STOPPED, UsageError

if TYPE_CHECKING:
    from salmu_core.store.folders import Store
    from salmu_core.study.plan import Study
    from salmu_core.study.prepare import Work
    from salmu_core.train.settings import Compile

Methods = Annotated[list[str] | None, typer.Argument(metavar="[METHOD]...", help="Methods to run.")]
Everything = Annotated[bool, typer.Option("--all", help="Run every installed method.")]
Budgets = Annotated[
    list[str] | None,
    typer.Option(
        metavar="B[,B...]",
        help="Pairs a method may see, in units of the forget set's size: 5, or 1,5; repeatable.  "
        "[default: what the benchmark recommends, or 5]",
    ),
]
Seeds = Annotated[
    list[str] | None, typer.Option(metavar="S[-S][,S...]", help="Seeds: 3, or 0-4, or 0,2,5; repeatable.  [default: 0]")
]
Retain = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SHARDS", help="Tar files of your own retain pairs, as in 'shards/{00000..00099}.tar'; repeatable."
    ),
]
RetainShare = Annotated[
    float | None,
    typer.Option(
        metavar="R",
        help="Share of every retain batch that comes from --retain, the rest being retain_synth.  [default: 0.5]",
    ),
]
Begin = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="RUN",
        help="Begin with what another run on the same benchmark left, by its folder, instead of Compromised.",
    ),
]
Requests = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        min=1,
        help="Let the forget set come in K parts by person, each deleted from the result of the last.  [default: 1]",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME.FIELD=VALUE", help="Set a field of a method or an attack; repeatable."),
]
Config = Annotated[Path | None, typer.Option(help="A study file (TOML); options go over it.")]
Tracker = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[,NAME...]",
        help="Follow every run in an experiment tracker: tensorboard, wandb, mlflow, trackio; repeatable.",
    ),
]
Attacks = Annotated[
    list[str] | None,
    typer.Option(
        "--attack",
        metavar="NAME[,NAME...]",
        help="Attack every checkpoint, Compromised and Clean too, and show what comes back; repeatable.",
    ),
]
Redo = Annotated[bool, typer.Option("--redo", help="Make finished runs, and attacks on them, again.")]
Processes = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes the runs are spread over.  [default: one for an accelerator, two where it has room and waits; "
        "else a core each, at most 4]",
    ),
]
MicroBatch = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Pairs that methods embed at a time, for want of memory; batches and their gradients stay what they are.  "
        "[default: whole batches, and less where memory runs out]",
    ),
]

CheckpointEvery = Annotated[
    str | None,
    typer.Option(
        metavar="TIME|STEPS",
        help="How often a run is kept while it trains, so that an interrupted one goes on there: 10m, 2h, or 500 for "
        "steps; off, or 0, for never.  [default: 5m]",
    ),
]
RunTimeout = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Time that one run may take, as 600, 10m or 2h; one that takes longer, and then again, has no result.  "
        "[default: any]",
    ),
]
RunMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory that the processes of one run may hold, as 16GB; one that takes more, and then again, has no "
        "result.  [default: any]",
    ),
]
Compiling = Annotated[
    str,
    typer.Option(
        "--compile",
        metavar="auto|on|off",
        help="Compile the towers while they are trained, on a card as CUDA graphs. By itself where it pays: many small "
        "steps on a card.",
    ),
]


def run(
    methods: Methods = None,
    everything: Everything = False,
    benchmark: BenchmarkName = None,
    budget: Budgets = None,
    seed: Seeds = None,
    world: Worlds = None,
    retain: Retain = None,
    retain_share: RetainShare = None,
    start: Begin = None,
    requests: Requests = None,
    attack: Attacks = None,
    settings: Settings = None,
    config: Config = None,
    tracker: Tracker = None,
    output: Output = Path("runs"),
    redo: Redo = False,
    mixed_precision: Precision = None,
    threads: Threads = 1,
    processes: Processes = None,
    micro_batch: MicroBatch = None,
    checkpoint_every: CheckpointEvery = None,
    run_timeout: RunTimeout = None,
    run_memory: RunMemory = None,
    compile: Compiling = "auto",
    as_json: Json = False,
) -> None:
    """Unlearn with methods on a benchmark, score the checkpoints, and show the table.

    Finished runs are kept and never made again. Under `accelerate launch` processes share them.
    """
    # Here, so that the help costs none of it.
    from salmu_core.cli.progress import reporting
    from salmu_core.plugins.zoo import discover
    from salmu_core.run.accelerator import check_precision
    from salmu_core.store.folders import Store
    from salmu_core.study.launched import launched
    from salmu_core.study.prepare import Options, check
    from salmu_core.study.trackers import parse_trackers
    from salmu_core.study.work import all_there, carry_out

    study, overrides = asked_for(locals())
    store, first = Store(output), launched()[0] == 0
    # What plugins print is no JSON.
    aside = nullcontext() if first and not as_json else redirect_stdout(sys.stderr)
    with aside:
        # Where all are run, all are imported, and what can't be is left out.
        zoo = discover(fresh=study.methods is None, kinds=["method"])
        check(study, overrides, zoo)
        check_precision(study.mixed_precision)
        more = parse_trackers(tracker or []), micro_batch or 0, _compiling(compile), study.every, study.limits
        options = Options(redo, study.mixed_precision, threads, processes, *more)
    with aside, reporting(to_stderr=as_json, first=first) as reporter:
        for row in zoo.problems:
            reporter.say(f"Plugin {row.name} of {row.distribution} is left out: {row.problem}")
        try:
            works = carry_out(study, overrides, zoo, store, options, reporter)
        except KeyboardInterrupt:
            reporter.say("Stopped. Finished runs are kept; the same command goes on from here.")
            raise typer.Exit(STOPPED) from None
    if first:
        whole = _show(works, study.benchmark, store, as_json) and all_there(works, zoo, store)
        if not whole or (everything and zoo.problems):
            raise typer.Exit(1)


def asked_for(words: Mapping[str, Any]) -> tuple[Study, dict[str, dict[str, Any]]]:
    """The study that arguments of `salmu run`, by their names, ask for; and the settings that go over it, by method.

    Raises:
        UsageError: They make no sense.
    """
    from salmu_core.study.parsing import parse_budgets, parse_numbers, parse_settings

    methods, everything, config = words["methods"], words["everything"], words["config"]
    if methods and everything:
        raise UsageError("Name methods, or give --all; not both.")
    if not (methods or everything or config):
        raise UsageError("Name the methods to run, or give --all. `salmu methods` lists them.")
    same = ("benchmark", "methods", "retain", "retain_share", "start", "requests")
    how = ("mixed_precision", "checkpoint_every", "run_timeout", "run_memory")
    given = {name: words[name] for name in (*same, *how)} | {
        "budgets": parse_budgets(words["budget"] or []),
        "seeds": parse_numbers(words["seed"] or [], "--seed", "seeds"),
        "worlds": parse_numbers(words["world"] or [], "--world", "worlds"),
        "attacks": tuple(dict.fromkeys(name.strip() for text in words["attack"] or [] for name in text.split(","))),
    }
    return _study(config, given, everything), parse_settings(words["settings"] or [])


def _compiling(text: str) -> Compile:
    """Whether to compile.

    Raises:
        UsageError: It is none of the words.
    """
    from salmu_core.train.settings import Compile

    if text not in get_args(Compile):
        raise UsageError(f"--compile {text}: choose {', '.join(get_args(Compile))}.")
    return cast("Compile", text)


def _study(config: Path | None, given: Mapping[str, Any], everything: bool) -> Study:
    """The study file with the options over it.

    Raises:
        UsageError: It has a value that is not allowed.
    """
    from salmu_core.study.plan import Study, read_study

    study = read_study(config) if config else Study()
    changed = {name: value for name, value in given.items() if value not in (None, [], ())}
    if everything:
        changed["methods"] = None
    try:
        asked = study.over(changed)
    except ValueError as error:
        raise UsageError(
            "Budgets must be above 0, seeds and worlds whole numbers from 0, a share above 0 and at most 1, requests "
            "a whole number from 1, and a precision no, bf16 or fp16."
        ) from error
    if given["retain_share"] is not None and not asked.retain:
        raise UsageError("--retain-share says how much of your own pairs to mix in: name them with --retain.")
    return asked


def _show(works: Sequence[Work], benchmark: str, store: Store, as_json: bool) -> bool:
    """Print everything that was asked for; returns whether all of it is there."""
    from salmu_core.cli.output import console, print_json
    from salmu_core.cli.reading import commands
    from salmu_core.judge.compare import compare
    from salmu_core.judge.results import of_plan, read_results
    from salmu_core.show import overview
    from salmu_core.show.captions import errors_of
    from salmu_core.show.table import table

    planned = {store.folder(p.key): (p.key.benchmark, p.key.method) for work in works for p in work.plan}
    results = of_plan(read_results(store, [work.benchmark.name for work in works]), planned)
    comparison = compare(results, results.columns)
    if as_json:
        print_json(comparison.as_json())
    else:
        screen, whole = console(), table(comparison, results.columns)
        rest = commands(store, benchmark)
        screen.print(overview.render(whole, works[0].benchmark.notice, screen.width, rest), crop=False)
    attacked = results.attacked({attack.key for work in works for attack in work.attacks})
    return attacked and not (results.invalid or errors_of(results))
