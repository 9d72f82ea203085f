"""``salmu doctor``: what is off on this machine, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table
from rich.text import Text

from salmu_core.benchmark import locate, open_benchmark
from salmu_core.cli.output import console, print_json
from salmu_core.cli.progress import reporter
from salmu_core.cli.run import accelerate
from salmu_core.doctor import Finding, as_recorded, figures, installation, plugins, repeated
from salmu_core.errors import SalmuError
from salmu_core.outstanding import ROLES
from salmu_core.plugins import Zoo, discover
from salmu_core.progress import Reporter
from salmu_core.store import Store


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
        for finding in found:
            mark = Text("ok", style="green") if finding.sound else Text("off", style="bold red")
            table.add_row(mark, Text(finding.subject), Text(finding.text))
        console().print(table)
        off = sum(not finding.sound for finding in found)
        console().print(Text(f"{off} of {len(found)} are off." if off else "All is well."))
    return 0 if all(finding.sound for finding in found) else 1


def _benchmark(name: str, store: Store, zoo: Zoo, threads: int, telling: Reporter) -> Iterator[Finding]:
    """Open it, built where it has to be, and score its reference models twice."""
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
    from salmu_core.study import Scorer

    metrics, rounds = list(zoo.metrics.values()), []
    telling.plan(2 * len(ROLES))
    for order in (metrics, metrics[::-1]):
        scorer, scored = Scorer(benchmark, order, accelerator.device), {}
        for role in ROLES:
            telling.begin(role.capitalize(), "scoring")
            try:
                scored[role], _ = scorer.compute(benchmark.model(role), benchmark.model_hash(role), telling.step)
            except (SalmuError, OSError) as error:
                yield Finding(role.capitalize(), False, str(error))
                return
            telling.end(f"{role.capitalize()}: scored, {scored[role].seconds:.1f} s")
        rounds.append(scored)
    located = locate(name, zoo)
    yield from figures(located[0].spec.bands if located else (), rounds[0])
    yield repeated(*rounds)
    yield from as_recorded(benchmark, store, rounds[0])
