"""What `salmu doctor` looks at: the installation, the plugins, and whether a benchmark is what it should be here.

Every check gives findings; none raises for what it finds.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import psutil
from packaging.requirements import Requirement

from salmu_core.benchmark.folder import Benchmark, open_benchmark
from salmu_core.benchmark.locate import locate
from salmu_core.contract.layout import ROLES, ZEROSHOT
from salmu_core.contract.specs import Band, BenchmarkSpec
from salmu_core.contract.version import CORE
from salmu_core.errors import SalmuError
from salmu_core.machine import cache_folder
from salmu_core.plugins.zoo import Zoo
from salmu_core.run.accelerator import accelerate
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import METRICS, Store, read_record
from salmu_core.store.records import MetricsRecord

#: What a study wants beside its results: memory for each process, and room for a world and some checkpoints.
MEMORY_GB, DISK_GB = 2, 2
#: As far as a figure may lie from what it was on the same machine.
SAME = 1e-6


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What.
        sound: Whether it is as it should be.
        text: What was found; if it is not sound, also what to do.
        band: Of a figure that has been published: where it should lie.
        measured: What it is here; None if it was not measured.
        advice: Whether it could be better, though results are right as it is.
    """

    subject: str
    sound: bool
    text: str
    band: Band | None = None
    measured: float | None = None
    advice: bool = False

    def as_json(self) -> dict[str, Any]:
        """As ``salmu doctor --json`` prints it."""
        facts: dict[str, Any] = {"subject": self.subject, "sound": self.sound, "text": self.text}
        facts |= {"advice": True} if self.advice else {}
        if self.band is not None:
            facts |= {"measured": self.measured, "published": self.band.published}
        return facts


def installation(zoo: Zoo, output: Path) -> Iterator[Finding]:
    """The machine, the libraries, and where things are written."""
    memory = psutil.virtual_memory().total / 2**30
    text = f"Python {platform.python_version()}, {os.cpu_count()} cores, {memory:.0f} GiB memory"
    enough = memory >= MEMORY_GB
    yield Finding("machine", enough, text if enough else f"{text}; a process of a study wants {MEMORY_GB} GiB")
    yield from _libraries(sorted({CORE, *(row.distribution for row in zoo.plugins)}))
    for name, folder in (("cache", cache_folder()), ("results", output.absolute())):
        yield _folder(name, folder)


def _libraries(distributions: Sequence[str]) -> Iterator[Finding]:
    """Whether each installed distribution has what it asks for; many are told as one."""
    lacking, wanted = [], 0
    for distribution in distributions:
        for text in _requires(distribution):
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            wanted += 1
            try:
                installed = version(requirement.name)
            except PackageNotFoundError:
                installed = ""
            if not requirement.specifier.contains(installed or "0", prereleases=True) or not installed:
                lacking.append((distribution, requirement, installed or "nothing"))
    if not lacking:
        yield Finding("libraries", True, f"{wanted} requirements of {len(distributions)} distributions hold")
    for distribution, requirement, installed in lacking:
        text = f"{distribution} wants {requirement}, and {installed} is installed: pip install '{requirement}'"
        yield Finding("libraries", False, text)


def _requires(distribution: str) -> list[str]:
    try:
        return requires(distribution) or []
    except PackageNotFoundError:
        return []


def _folder(name: str, folder: Path) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        remedy = "set SALMU_CACHE to another folder" if name == "cache" else "choose another --output"
        return Finding(name, False, f"{folder} can't be written: {remedy}")
    free = shutil.disk_usage(existing).free / 2**30
    text = f"{folder}, {free:.0f} GiB free"
    return Finding(name, free >= DISK_GB, text if free >= DISK_GB else f"{text}; make room for {DISK_GB} GiB")


def plugins(zoo: Zoo) -> Iterator[Finding]:
    """Whether every installed plugin can be used."""
    sound = [row for row in zoo.plugins if not row.problem]
    yield Finding(
        "plugins",
        bool(zoo.methods) and bool(zoo.metrics) and bool(zoo.benchmarks),
        f"{len(sound)} plugins with {len(zoo.methods)} methods, {len(zoo.metrics)} metrics and "
        f"{len(zoo.benchmarks)} benchmarks",
    )
    for row in zoo.problems:
        yield Finding(f"plugin {row.name}", False, f"{row.distribution}: {row.problem}")


def figures(
    bands: Sequence[Band], records: Mapping[str, MetricsRecord], unmeasured: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """Whether the reference models' figures lie where the benchmark says they should.

    Args:
        bands: Where they should lie.
        records: Role -> what was measured here.
        unmeasured: Metric or column -> why it can't be measured here, which is nothing wrong.
    """
    unmeasured = unmeasured or {}
    for role, record in records.items():
        for metric, problem in record.errors.items():
            if metric not in unmeasured:
                yield Finding(f"{role.capitalize()} {metric}", False, f"not measured: {problem}")
    for band in bands:
        name = f"{band.model.capitalize()} {band.figure}"
        known = band if band.published is not None else None
        value = records[band.model].values.get(band.figure)
        if value is None or band.figure in unmeasured:
            reason = unmeasured.get(band.figure, "install the metric that gives it")
            yield Finding(name, band.figure in unmeasured, f"not measured: {reason}", known)
            continue
        sound = band.low <= value <= band.high
        yield Finding(name, sound, _beside(band, value, sound), known, value)


def _beside(band: Band, value: float, sound: bool) -> str:
    """A figure and where it should be, in words."""
    note = f". {band.note}" * (not sound and bool(band.note))
    if band.published is not None:
        tolerance = max(band.high - band.published, band.published - band.low)
        text = f"{value:.6f}, published {band.published:.6f}, difference {value - band.published:+.6f}"
        return f"{text}: {'within' if sound else 'more than'} {tolerance:.2g}{note}"
    ends = " ".join(
        [f"at least {band.low:g}"] * (band.low > float("-inf"))
        + [f"at most {band.high:g}"] * (band.high < float("inf"))
    )
    text = f"{value:.4f}, {'as it should be' if sound else 'but it should be'}: {ends}"
    if not sound and not note:
        text += ". The models or the data are not what the benchmark's author had: look at the findings above"
    return text + note


def repeated(first: Mapping[str, MetricsRecord], again: Mapping[str, MetricsRecord]) -> Finding:
    """Whether the same weights gave the same bits twice, the second time with the metrics in another order."""
    moved = [
        f"{role.capitalize()} {column}: {value!r}, then {again[role].values.get(column)!r}"
        for role, record in first.items()
        for column, value in record.values.items()
        if again[role].values.get(column) != value
    ]
    if not moved:
        return Finding("scoring repeats", True, "the same weights give the same bits, in any order of the metrics")
    return Finding(
        "scoring repeats",
        False,
        f"{moved[0]}: a metric draws from a global random state (`salmu check` tells), or the device does not repeat "
        "itself",
    )


def as_recorded(benchmark: Benchmark, store: Store, records: Mapping[str, MetricsRecord]) -> Iterator[Finding]:
    """Whether the reference models still score what stands in a results folder; nothing if nothing stands there."""
    for role, record in records.items():
        try:
            before = read_record(store.reference(benchmark.name, role) / METRICS, MetricsRecord)
        except SalmuError as error:
            yield Finding("references reproduce", False, str(error))
            continue
        if before is None:
            continue
        same_set = before.zeroshot_hash == record.zeroshot_hash
        if (before.data_hash, before.checkpoint_hash) != (record.data_hash, record.checkpoint_hash):
            text = f"{store.root} has {role.capitalize()} of other data or weights than {benchmark.folder}"
            yield Finding("references reproduce", False, f"{text}: choose another --output")
            continue
        moved = [
            (abs(before.values[column] - record.values[column]), column)
            for name, entry in record.metrics.items()
            if name in before.metrics and before.metrics[name].code_hash == entry.code_hash
            for column in entry.values.keys() & before.metrics[name].values.keys()
            if same_set or ZEROSHOT not in entry.declared.reads
        ]
        worst, column = max(moved, default=(0.0, ""))
        text = f"{role.capitalize()} scores what {store.root} has"
        text += "" if same_set else ", but for the zero-shot set, which is another now: `salmu run` scores again"
        if worst > SAME:
            text = (
                f"{role.capitalize()} {column} is {worst:.2g} off what {store.root} has: another device, precision or "
                "version of a library made that; score again into another --output"
            )
        yield Finding("references reproduce", worst <= SAME, text)


def models(name: str, store: Store, zoo: Zoo, threads: int, reporter: Reporter) -> Iterator[Finding]:
    """Open a benchmark, built where it has to be, and score its models: twice, unless they are those of a release."""
    try:
        benchmark = open_benchmark(name, zoo, reporter.building)
    except (SalmuError, OSError) as error:
        yield Finding(f"benchmark {name}", False, str(error))
        return
    yield Finding(f"benchmark {benchmark.name}", True, f"{benchmark.folder}, {len(benchmark.hashes)} files as written")
    if not zoo.metrics:
        return
    reporter.building("loading torch", 1.0)
    accelerator = accelerate(None, threads)
    yield Finding("device", True, f"{accelerator.device}, precision {accelerator.mixed_precision}")
    from salmu_core.score.scorer import Scorer

    located = locate(name, zoo)
    spec = located[0].card if located else None
    metrics, rounds = list(zoo.metrics.values()), []
    # A release has real models and tens of thousands of images: what the device repeats shows on a small one too.
    orders = [metrics] if spec and spec.release else [metrics, metrics[::-1]]
    reporter.plan(len(orders) * len(ROLES))
    for order in orders:
        scorer = Scorer(benchmark, order, accelerator.device, reporter.building)
        scored: dict[str, MetricsRecord] = {}
        for role in ROLES:
            reporter.begin(role.capitalize(), "scoring")
            try:
                scoring = scorer.compute(benchmark.model(role), benchmark.model_hash(role), reporter.step)
            except (SalmuError, OSError) as error:
                yield Finding(role.capitalize(), False, str(error))
                return
            if scoring.failures:
                yield Finding(role.capitalize(), False, scoring.failed)
                return
            scored[role] = scoring.record
            reporter.end(f"{role.capitalize()}: scored, {scored[role].seconds:.1f} s")
        rounds.append(scored)
    yield from figures(spec.bands if spec else (), rounds[0], _unmeasured(rounds[0], spec, zoo))
    if len(rounds) == 2:
        yield repeated(*rounds)
    yield from as_recorded(benchmark, store, rounds[0])


def _unmeasured(scored: Mapping[str, MetricsRecord], spec: BenchmarkSpec | None, zoo: Zoo) -> dict[str, str]:
    """Metrics and columns the benchmark lacks the data for, such as the zero-shot set, and what to do."""
    bring = f"; `salmu download {spec.name} --zeroshot PATH`" if spec is not None and spec.release is not None else ""
    lacking = {metric: reason for record in scored.values() for metric, reason in record.not_measured.items()}
    return {
        name: reason + bring
        for metric, reason in lacking.items()
        for name in (metric, *(zoo.metrics[metric].card.columns if metric in zoo.metrics else ()))
    }
