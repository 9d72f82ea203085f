"""The benchmark that results were made on. Needs no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from salmu_core.benchmark.folder import Benchmark, open_benchmark
from salmu_core.benchmark.locate import locate
from salmu_core.benchmark.manifest import find_damage, part_files
from salmu_core.contract.layout import MANIFEST, ROLES
from salmu_core.contract.progress import Progress
from salmu_core.disk.hashing import hash_file
from salmu_core.errors import BenchmarkError, SalmuError
from salmu_core.judge.inspection import Finding, Inspection
from salmu_core.plugins.zoo import Zoo
from salmu_core.store.records import RunRecord
from salmu_core.store.starts import given


def source_of(folder: Path, record: RunRecord, zoo: Zoo) -> str:
    """The benchmark that a run was made on: an installed one by its name, a folder as the command had it.

    Raises:
        BenchmarkError: It is neither.
    """
    name = record.benchmark.name
    if name.partition("@")[0] in zoo.benchmarks:
        return name
    source = (given(record.command, "--benchmark") or [name])[-1]
    if not Path(source).expanduser().is_dir():
        raise BenchmarkError(
            f"{name}, on which {folder} was made, is neither installed nor a folder at {source}: give the folder with "
            "its data as --benchmark PATH"
        )
    return str(Path(source).expanduser().resolve())


def made_on(inspection: Inspection, data: str | None, zoo: Zoo, progress: Progress) -> Benchmark | None:
    """The benchmark of some results, if it is here and whole and they are of it; what is wrong is added to them.

    Every file of it is read; nothing is built or fetched.

    Args:
        inspection: What was found in the results.
        data: Where it lies, if that is known.
    """

    def find(at: Path, what: str, remedy: str, damage: bool = True) -> None:
        inspection.findings.append(Finding(at, what, remedy, damage))

    place = next(iter(inspection.runs), None)
    if place is None:
        return None
    absent, located = "give the folder with its data as --benchmark PATH", None
    try:
        source = data or source_of(place, inspection.runs[place], zoo)
        located = locate(source, zoo)
        if located is not None and not (located[2] / MANIFEST).is_file():
            find(place, "its benchmark is not on this machine: nothing was scored again", absent, damage=False)
            return None
        if located is not None and located[0].card.release is None and (damage := find_damage(located[2])):
            find(place, f"its benchmark is damaged: {damage}", "`salmu run` builds it again")
            return None
        opened = open_benchmark(source, zoo, progress)
    except SalmuError as error:
        what = f"its benchmark can't be opened, and nothing was scored again: {error}"
        find(place, what, absent, damage=located is not None)
        return None
    files = dict(part_files(opened.folder, opened.sources))
    hashes = {}
    for done, (name, path) in enumerate(files.items()):
        progress(f"reading {opened.name}'s data", done / len(files))
        hashes[name] = hash_file(path)
    inspection.looked_at["files of benchmarks"] += len(files)
    benchmark = replace(opened, hashes=hashes)
    made_of = {role: benchmark.model_hash(role) for role in ROLES}
    others = [path for path, run in inspection.runs.items() if run.benchmark.data_hash != benchmark.data_hash]
    others += [p for p, run in inspection.runs.items() if run.benchmark.start_model_hash != made_of["compromised"]]
    others += [
        folder
        for folder, role, metrics in inspection.checkpoints
        if metrics.data_hash != benchmark.data_hash or (role and metrics.checkpoint_hash != made_of[role])
    ]
    remedy = "bring back the data, or give those as --benchmark PATH; or delete it, and `salmu run` makes it anew"
    for folder in dict.fromkeys(others):
        find(folder, f"it is of other data or another model than {opened.folder} holds now", remedy)
    return None if others else benchmark
