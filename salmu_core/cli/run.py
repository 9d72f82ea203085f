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
    from salmu_core.study.asked import Study
    from salmu_core.study.prepare import Work
    from salmu_core.train.settings import Compile

Methods = Annotated[list[str] | None, typer.Argument(metavar="[METHOD]...", help="Methods to run.")]
Everything = Annotated[bool, typer.Option("--all", help="Run every installed method.")]
Tags = Annotated[list[str] | None, typer.Option(metavar="TAG", help="Run all of a kind, as baseline; repeatable.")]
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
TunedBy = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER|FILE",
        help="Take settings from what `salmu tune` chose; a study file and --set go over it.",
        show_default=False,
    ),
]
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
On = Annotated[
    str | None,
    typer.Option(
        metavar="ENGINE[:ADDRESS]",
        help="Have it done elsewhere: ray for a cluster, ray:ADDRESS for that one, slurm for jobs of a partition. "
        "[default: processes of this machine]",
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
    tag: Tags = None,
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
    tuned: TunedBy = None,
    tracker: Tracker = None,
    output: Output = Path("runs"),
    redo: Redo = False,
    mixed_precision: Precision = None,
    threads: Threads = 1,
    processes: Processes = None,
    on: On = None,
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
    typed = dict(locals())
    # Here, so that the help costs none of it.
    from salmu_core.cli.progress import reporting
    from salmu_core.plugins.zoo import discover
    from salmu_core.run.accelerator import check_precision
    from salmu_core.store.folders import Store
    from salmu_core.study.engine import load_engine
    from salmu_core.study.launched import launched
    from salmu_core.study.prepare import Options, check
    from salmu_core.study.trackers import parse_trackers
    from salmu_core.study.work import all_there, carry_out

    study, overrides = asked_for(typed)
    store, first = Store(output), launched()[0] == 0
    # What plugins print is no JSON.
    aside = nullcontext() if first and not as_json else redirect_stdout(sys.stderr)
    with aside:
        # Where all are run, all are imported, and what can't be is left out.
        zoo = discover(fresh=not study.named, kinds=["method"])
        check(study, overrides, zoo)
        check_precision(study.mixed_precision)
        more = parse_trackers(tracker or []), micro_batch or 0, _compiling(compile), study.every, study.limits
        options = Options(redo, study.mixed_precision, threads, processes, *more)
        engine = load_engine(on, study.engine) if on else None
    with aside, reporting(to_stderr=as_json, first=first) as reporter:
        for row in zoo.problems:
            reporter.say(f"Plugin {row.name} of {row.distribution} is left out: {row.problem}")
        try:
            works = carry_out(study, overrides, zoo, store, options, reporter, engine)
        except KeyboardInterrupt:
            reporter.say("Stopped. Finished runs are kept; the same command goes on from here.")
            raise typer.Exit(STOPPED) from None
    if first:
        whole = _show(works, study.benchmark, store, as_json) and all_there(works, zoo, store)
        if not whole or (everything and zoo.problems):
            raise typer.Exit(1)


def _compiling(text: str) -> Compile:
    """Whether to compile.

    Raises:
        UsageError: It is none of the words.
    """
    from salmu_core.train.settings import Compile

    if text not in get_args(Compile):
        raise UsageError(f"--compile {text}: choose {', '.join(get_args(Compile))}.")
    return cast("Compile", text)


def asked_for(typed: Mapping[str, Any]) -> tuple[Study, dict[str, Any]]:
    """The study file with the options over it, and the settings that go over the study's, by method.

    Args:
        typed: What `run` was given, by the names of its parameters; others don't matter.

    Raises:
        UsageError: Nothing is asked for, or a value that is not allowed.
    """
    from salmu_core.study.asked import Study, read_study
    from salmu_core.study.parsing import parse_budgets, parse_numbers, parse_settings

    chosen = typed["methods"] or typed["tag"]
    if chosen and typed["everything"]:
        raise UsageError("Name methods, by themselves or by --tag, or give --all; not both.")
    if not (chosen or typed["everything"] or typed["config"]):
        raise UsageError("Name the methods to run, or give --tag or --all. `salmu methods` lists them.")
    same = ("benchmark", "methods", "retain", "retain_share", "tuned", "start", "requests", "checkpoint_every")
    given = {name: typed[name] for name in (*same, "mixed_precision", "run_timeout", "run_memory")} | {
        "budgets": parse_budgets(typed["budget"] or []),
        "seeds": parse_numbers(typed["seed"] or [], "--seed", "seeds"),
        "worlds": parse_numbers(typed["world"] or [], "--world", "worlds"),
        "attacks": tuple(dict.fromkeys(name.strip() for text in typed["attack"] or [] for name in text.split(","))),
    }
    study = read_study(typed["config"]) if typed["config"] else Study()
    changed = {name: value for name, value in given.items() if value not in (None, [], ())}
    if chosen or typed["everything"]:  # over whatever the file takes
        changed |= {"methods": typed["methods"] or None, "tags": typed["tag"] or ()}
    try:
        asked = study.over(changed)
    except ValueError as error:
        raise UsageError(
            "Budgets must be above 0, seeds and worlds whole numbers from 0, a share above 0 and at most 1, requests "
            "a whole number from 1, and a precision no, bf16 or fp16."
        ) from error
    if given["retain_share"] is not None and not asked.retain:
        raise UsageError("--retain-share says how much of your own pairs to mix in: name them with --retain.")
    return asked, parse_settings(typed["settings"] or [])


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
