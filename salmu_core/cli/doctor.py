"""``salmu doctor``: what is off on this machine, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from salmu_core.benchmark.folder import locate, open_benchmark
from salmu_core.cli.output import console, print_json, say
from salmu_core.cli.progress import reporter
from salmu_core.cli.run import accelerate
from salmu_core.contract.layout import ROLES
from salmu_core.contract.specs import BenchmarkSpec
from salmu_core.errors import SalmuError
from salmu_core.plugins import Zoo, discover
from salmu_core.store.folders import Store
from salmu_core.store.records import MetricsRecord
from salmu_core.study.reporter import Reporter
from salmu_core.testing.doctor import Finding, as_recorded, figures, installation, plugins, repeated


def examine(name: str, output: Path, threads: int, as_json: bool) -> int:
    """Look at everything and say what is off; returns the exit code.

    Raises:
        UnknownNameError: There is no such benchmark.
    """
    zoo = discover()
    locate(name, zoo)
    found = [*installation(zoo, output), *plugins(zoo)]
    with reporter(0, to_stderr=True) as telling:
        found += _benchmark(name, Store(output), zoo, threads, telling)
    if as_json:
        print_json([finding.as_json() for finding in found])
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        for finding in (finding for finding in found if finding.band is None):
            table.add_row(_mark(finding), Text(finding.subject), Text(finding.text))
        console().print(table)
        if any(finding.band for finding in found):
            console().print(_published(found))
        off, blank = (sum(hit) for hit in zip(*map(_count, found), strict=True))
        said = f"{off} of {len(found)} are off" if off else "All is well"
        say(f"{said}; {blank} published figures were not measured." if blank else f"{said}.")
    return 0 if all(finding.sound for finding in found) else 1


def _count(finding: Finding) -> tuple[bool, bool]:
    """Whether it is off, and whether it is a published figure that could not be measured."""
    return not finding.sound, finding.sound and finding.band is not None and finding.measured is None


def _mark(finding: Finding) -> Text:
    if _count(finding)[1]:
        return Text("-", style="dim")
    return Text("ok", style="green") if finding.sound else Text("off", style="bold red")


def _published(found: Sequence[Finding]) -> Table:
    """Every published figure beside what it is here."""
    table = Table(box=None, pad_edge=False, title="\nbeside the published figures", title_justify="left")
    for column in ("", "model", "figure"):
        table.add_column(column, no_wrap=True)
    for column in ("measured", "published", "difference"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for finding in found:
        if (band := finding.band) is None or band.published is None:
            continue
        measured, difference, said = "-", "-", finding.text
        if finding.measured is not None:
            measured, difference = f"{finding.measured:.6f}", f"{finding.measured - band.published:+.6f}"
            said = finding.text.rpartition(f"{difference}: ")[2]
        cells = [band.model.capitalize(), band.figure, measured, f"{band.published:.6f}", difference, said]
        table.add_row(_mark(finding), *map(Text, cells))
    return table


def _unmeasured(scored: Mapping[str, MetricsRecord], spec: BenchmarkSpec | None, zoo: Zoo) -> dict[str, str]:
    """Metrics and columns the benchmark lacks the data for, such as the zero-shot set, and what to do."""
    bring = f"; `salmu download {spec.name} --zeroshot PATH`" if spec is not None and spec.release is not None else ""
    lacking = {metric: reason for record in scored.values() for metric, reason in record.not_measured.items()}
    return {
        name: reason + bring
        for metric, reason in lacking.items()
        for name in (metric, *(zoo.metrics[metric].spec.columns if metric in zoo.metrics else ()))
    }


def _benchmark(name: str, store: Store, zoo: Zoo, threads: int, telling: Reporter) -> Iterator[Finding]:
    """Open it, built where it has to be, and score its reference models: twice, unless they are those of a release."""
    try:
        benchmark = open_benchmark(name, zoo, telling.building)
    except (SalmuError, OSError) as error:
        yield Finding(f"benchmark {name}", False, str(error))
        return
    yield Finding(f"benchmark {benchmark.name}", True, f"{benchmark.folder}, {len(benchmark.hashes)} files as written")
    if not zoo.metrics:
        return
    accelerator = accelerate(telling, None, threads)
    yield Finding("device", True, f"{accelerator.device}, precision {accelerator.mixed_precision}")
    from salmu_core.score.scorer import Scorer

    located = locate(name, zoo)
    spec = located[0].spec if located else None
    metrics, rounds = list(zoo.metrics.values()), []
    # A release has real models and tens of thousands of images: what the device repeats shows on a small one too.
    orders = [metrics] if spec and spec.release else [metrics, metrics[::-1]]
    telling.plan(len(orders) * len(ROLES))
    for order in orders:
        scorer = Scorer(benchmark, order, accelerator.device, telling.building)
        scored: dict[str, MetricsRecord] = {}
        for role in ROLES:
            telling.begin(role.capitalize(), "scoring")
            try:
                scored[role], _ = scorer.compute(benchmark.model(role), benchmark.model_hash(role), telling.step)
            except (SalmuError, OSError) as error:
                yield Finding(role.capitalize(), False, str(error))
                return
            telling.end(f"{role.capitalize()}: scored, {scored[role].seconds:.1f} s")
        rounds.append(scored)
    yield from figures(spec.bands if spec else (), rounds[0], _unmeasured(rounds[0], spec, zoo))
    if len(rounds) == 2:
        yield repeated(*rounds)
    yield from as_recorded(benchmark, store, rounds[0])
