"""``salmu verify``: is everything in a results folder what it was, and what it says?"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from salmu_core.cli.options import Json, Runs, Threads, Worlds
from salmu_core.cli.output import console, print_json, say
from salmu_core.cli.progress import reporting
from salmu_core.errors import UsageError
from salmu_core.judge.inspection import Finding, Inspection, inspect, worlds_in
from salmu_core.plugins.zoo import Zoo, discover
from salmu_core.show.escape import visible
from salmu_core.study.grounds import made_on
from salmu_core.study.parsing import parse_numbers

if TYPE_CHECKING:
    from salmu_core.benchmark.folder import Benchmark
    from salmu_core.run.reporter import Reporter


def verify(
    runs: Runs = Path("runs"),
    benchmark: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Only this benchmark's results; or the folder its data lie in.  [default: all of them]",
        ),
    ] = None,
    world: Worlds = None,
    sample: Annotated[
        int, typer.Option(min=0, metavar="N", help="Checkpoints of each benchmark that are scored again.")
    ] = 2,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Draws them, and their rows.  [default: another each time]")
    ] = None,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Look at all of a results folder, read whole: seals, places, figures against rows and checkpoints, data.

    Exit code 1 if anything is damaged. Nothing is changed.
    """
    seed = secrets.randbelow(2**32) if seed is None else seed
    zoo = discover()
    with reporting(to_stderr=True, what="verify") as reporter:
        names, data = _which(runs, benchmark, parse_numbers(world or [], "--world", "worlds"), zoo)
        inspections = [inspect(runs, name, reporter.building) for name in names]
        here = [made_on(inspection, data, zoo, reporter.building) for inspection in inspections]
        pairs = [(i, b) for i, b in zip(inspections, here, strict=True) if b is not None and sample]
        rows = _score_again(pairs, zoo, sample, Random(seed), threads, reporter) if pairs else 0
    findings = [finding for inspection in inspections for finding in inspection.findings]
    looked_at = sum((inspection.looked_at for inspection in inspections), Counter[str]())
    looked_at |= Counter({"rows and figures computed again": rows})
    if as_json:
        facts = {"runs": str(runs), "benchmarks": names, "seed": seed, "looked_at": looked_at}
        print_json({**facts, "findings": [finding.as_json() for finding in findings]})
    else:
        _show(findings, looked_at, names, seed)
    if any(finding.damage for finding in findings):
        raise typer.Exit(1)


def _which(runs: Path, benchmark: str | None, numbers: Sequence[int], zoo: Zoo) -> tuple[list[str], str | None]:
    """Names of the benchmarks that are meant, as they stand in the results folder, and where their data lie.

    Raises:
        UsageError: There is none.
    """
    from salmu_core.benchmark.folder import open_benchmark

    if not runs.is_dir():
        raise UsageError(f"There is no folder {runs}.")
    known, data = worlds_in(runs), None
    if benchmark and benchmark not in known and Path(benchmark).expanduser().is_dir():
        data = str(Path(benchmark).expanduser().resolve())
        benchmark = open_benchmark(data, zoo, lambda *_: None).name
    wanted = [name for name in known if benchmark in (None, name, name.partition("@")[0])]
    wanted = [name for name in wanted if not numbers or int(name.partition("@")[2] or 0) in numbers]
    if not wanted:
        raise UsageError(f"{runs} has no results of what is asked for; it has {', '.join(known) or 'none at all'}.")
    return wanted, data


def _score_again(
    pairs: Sequence[tuple[Inspection, Benchmark]], zoo: Zoo, sample: int, rng: Random, threads: int, reporter: Reporter
) -> int:
    """Score some checkpoints again; returns how many rows and figures were looked at."""
    reporter.building("loading torch", 1.0)
    from salmu_core.run.accelerator import accelerate
    from salmu_core.study.rescoring import Rescorer

    device, looked_at = accelerate(None, threads).device, 0
    chosen = [rng.sample(i.checkpoints, min(sample, len(i.checkpoints))) for i, _ in pairs]
    reporter.plan(sum(map(len, chosen)))
    for (inspection, benchmark), checkpoints in zip(pairs, chosen, strict=True):
        rescorer = Rescorer(benchmark, list(zoo.metrics.values()), device, reporter.building, rng)
        for checkpoint in checkpoints:
            reporter.begin(str(checkpoint.folder), "scoring again")
            found = [*rescorer.differences(checkpoint, reporter.step)]
            inspection.findings += found
            reporter.end(f"{checkpoint.folder}: {'differs' if found else 'the same'}")
        looked_at += rescorer.looked_at
    return looked_at


def _show(findings: Sequence[Finding], looked_at: Counter[str], names: Sequence[str], seed: int) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in sorted(findings, key=lambda finding: (not finding.damage, finding.path)):
        mark = Text("damaged", style="bold red") if finding.damage else Text("note", style="yellow")
        text = "\n".join(map(visible, (finding.path, f"  {finding.what}", f"  {finding.remedy}")))
        table.add_row(mark, Text(text))
    if findings:
        console().print(table, "")
    counts = ", ".join(f"{number:,} {what}" for what, number in looked_at.items() if number)
    say(f"Looked at {', '.join(map(visible, names))}: {counts or 'nothing'}. --seed {seed} draws the same sample.")
    damaged = sum(finding.damage for finding in findings)
    say(f"Damaged, see above: {damaged:,}." if damaged else "All of it is whole.")
