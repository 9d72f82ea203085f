"""A benchmark folder: found, built at first use or downloaded before it, and checked before each use.

``data/*.parquet`` and the JSON files, ``clean/``, ``compromised/``, ``zeroshot/`` and, optionally, a
``benchmark.toml`` that names other sources for these. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from salmu_core.benchmark.consistency import check_consistency
from salmu_core.benchmark.counts import check_counts
from salmu_core.benchmark.locate import locate
from salmu_core.benchmark.manifest import (
    file_hashes,
    find_damage,
    manifest_of,
    part_files,
    read_manifest,
    write_manifest,
)
from salmu_core.benchmark.release import how_to_get, release_sources
from salmu_core.benchmark.sources import SOURCES, Sources, check_parts, part_path, read_sources
from salmu_core.benchmark.zeroshot import zeroshot_parts
from salmu_core.clip.name import find_model
from salmu_core.contract.layout import MANIFEST
from salmu_core.contract.progress import Progress
from salmu_core.contract.recommended import Recommended
from salmu_core.contract.specs import BenchmarkSpec
from salmu_core.disk.file_hashes import InUse
from salmu_core.disk.files import new_folder
from salmu_core.disk.hashing import hash_json, hash_text
from salmu_core.disk.locks import held
from salmu_core.disk.notes import note
from salmu_core.disk.reading import check_name
from salmu_core.disk.space import used
from salmu_core.errors import BenchmarkError, SalmuError, UsageError
from salmu_core.plugins.shelves import Declared, Zoo
from salmu_core.store.records import ScoredOn


@dataclass(frozen=True)
class Benchmark:
    """A benchmark on disk, checked.

    Attributes:
        name: As it stands in paths and tables, e.g. ``mini`` or, for world 3 of it, ``mini@3``.
        sources: Where its parts come from.
        hashes: Part and path within it -> SHA-256 of each of its files, wherever the part lies.
        notice: A sentence that stands above every table of it.
        settings: Method -> settings that it recommends.
        in_use: Its files, as they were when they were hashed.
    """

    name: str
    folder: Path
    sources: Sources
    hashes: dict[str, str]
    notice: str = ""
    settings: Mapping[str, Recommended] = field(default_factory=dict)
    in_use: InUse = field(default_factory=InUse, compare=False, repr=False)

    def check_unchanged(self) -> None:
        """See that what was used so far is what `hashes` says; to be called before a record says so.

        Raises:
            BenchmarkError: A file was changed meanwhile.
        """
        hashes = {path: self.hashes.get(name, "") for name, path in part_files(self.folder, self.sources)}
        if (path := self.in_use.changed(hashes)) is not None:
            raise BenchmarkError(
                f"{path} was changed while {self.name} was in use: nobody can say what it was when it was read, so "
                "what was just made is not kept. Run the same command again."
            )

    @property
    def data(self) -> Path:
        """Folder with the parquet shards (in ``data/``) and the JSON files."""
        return part_path(self.folder, self.sources.data)

    @property
    def zeroshot(self) -> Path:
        """Folder of the zero-shot classification set."""
        return part_path(self.folder, self.sources.zeroshot)

    def model(self, role: str) -> str:
        """The open_clip name of ``clean`` or ``compromised``."""
        return str(find_model(getattr(self.sources, role), self.folder))

    def model_folder(self, role: str) -> Path | None:
        """Where the files of ``clean`` or ``compromised`` lie; None for one on a hub."""
        return find_model(getattr(self.sources, role), self.folder).folder

    @property
    def folders(self) -> tuple[Path, ...]:
        """Everywhere its files lie."""
        models = (self.model_folder("clean"), self.model_folder("compromised"))
        return (self.folder, self.data, self.zeroshot, *filter(None, models))

    @property
    def data_hash(self) -> str:
        """SHA-256 over what runs are made of and judged by: all files but the models' and the zero-shot set's, and
        how metrics are set."""
        other = ("clean/", "compromised/", "zeroshot/", SOURCES)
        files = {path: h for path, h in self.hashes.items() if not path.startswith(other)}
        metrics = {"metrics": dict(self.sources.metrics)} if self.sources.metrics else {}
        return hash_json({"num_train": self.sources.num_train, "files": files, **metrics})

    @property
    def zeroshot_hash(self) -> str:
        """SHA-256 over the zero-shot set, which may come later than the runs; empty where there is none."""
        files = {path: h for path, h in self.hashes.items() if path.startswith("zeroshot/")}
        return hash_json(files) if files else ""

    @property
    def scored_on(self) -> ScoredOn:
        """What metrics of a checkpoint are computed on."""
        return ScoredOn(self.data_hash, self.zeroshot_hash)

    def model_hash(self, role: str) -> str:
        """SHA-256 over the files of a reference model (of its name, where it is on a hub)."""
        files = {path: h for path, h in self.hashes.items() if path.startswith(f"{role}/")}
        architecture = find_model(getattr(self.sources, role), self.folder).architecture
        if architecture:
            files["architecture"] = architecture
        return hash_json(files) if files else hash_text(self.model(role))


def recommended(name: str, zoo: Zoo) -> Mapping[str, Recommended]:
    """Which settings a benchmark recommends, by method; it is neither built nor opened.

    Raises:
        UnknownNameError: There is no such benchmark or folder.
        BenchmarkError: The folder's ``benchmark.toml`` can't be understood.
    """
    located = locate(name, zoo)
    return located[0].card.settings if located else read_sources(Path(name).expanduser().resolve()).recommended


def open_benchmark(name: str, zoo: Zoo, progress: Progress) -> Benchmark:
    """Find a benchmark by name or path, build it at first use, and check every file of it.

    Raises:
        UnknownNameError: There is no such benchmark or folder.
        BenchmarkError: The folder lacks a part, a file of the user's own folder can't be read, or a release is not
            here or not as it was downloaded.
    """
    located = locate(name, zoo)
    if located is None:
        return _open_folder(Path(name).expanduser().resolve(), zoo)
    declared, world, folder = located
    if declared.card.release is not None:
        used(folder)
        return _open_release(declared.card, folder)
    if find_damage(folder):  # a whole one may lie on a disk that can only be read
        with held(folder.with_name(f".{folder.name}.lock")):
            if damage := find_damage(folder):  # and nobody has mended it meanwhile
                if folder.exists():
                    progress(f"{damage}: building it again", 0.0)
                with new_folder(folder) as empty:
                    _build(declared, empty, world, progress)
                    write_manifest(empty, manifest_of(empty))
    used(folder)
    sources = read_sources(folder)
    check_parts(folder, sources)
    card = declared.card
    label = card.name if world == 0 else f"{card.name}@{world}"
    notice = sources.notice or card.notice
    in_use = _in_use(folder, sources)
    return Benchmark(label, folder, sources, file_hashes(folder, sources), notice, card.settings, in_use)


def _in_use(folder: Path, sources: Sources) -> InUse:
    return InUse(path for _, path in part_files(folder, sources))


def _build(declared: Declared[BenchmarkSpec], folder: Path, world: int, progress: Progress) -> None:
    build = declared.spec.build
    assert build is not None
    try:
        build(folder, world, progress)
    except SalmuError:
        raise
    except Exception as error:  # a plugin's code: anything can come out of it
        raise BenchmarkError(
            f"{declared.distribution} could not build {declared.card.name}: {type(error).__name__}: {error}"
        ) from error


def _open_release(spec: BenchmarkSpec, folder: Path) -> Benchmark:
    """What `salmu download` has laid out; nothing is fetched here."""
    if not (folder / MANIFEST).is_file():
        raise BenchmarkError(f"{spec.name} is not on this machine. {how_to_get(spec)}")
    try:
        manifest = read_manifest(folder)
        sources = release_sources(spec, manifest)
        check_parts(folder, sources)
    except (BenchmarkError, KeyError) as error:
        raise BenchmarkError(f"{spec.name} is no longer whole ({error}). {how_to_get(spec)}") from error
    in_use = _in_use(folder, sources)
    expected, hashes = manifest.files, file_hashes(folder, sources)
    paths = dict(part_files(folder, sources))
    for name in sorted(expected.keys() | hashes.keys()):
        if manifest.sha256_of(name) != hashes.get(name):
            change = "is missing" if name not in hashes else "has changed" if name in expected else "has come"
            raise BenchmarkError(
                f"{paths.get(name, folder / name)} {change} since {spec.name} was downloaded: "
                f"`salmu download {spec.name}` checks every file and says what to do"
            )
    check_counts(part_path(folder, sources.data), hashes, sources.rows, sources.identities)
    return Benchmark(spec.name, folder, sources, hashes, sources.notice, spec.settings, in_use)


def _open_folder(folder: Path, zoo: Zoo) -> Benchmark:
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.")
    check_name(folder)
    sources = read_sources(folder)
    check_parts(folder, sources)
    if "zeroshot" in sources.model_fields_set and not part_path(folder, sources.zeroshot).is_dir():
        raise BenchmarkError(
            f"{folder / SOURCES} names a zero-shot set, {part_path(folder, sources.zeroshot)}, that is not there: "
            "bring it, or take the line out to go on without it"
        )
    if unknown := sorted(sources.metrics.keys() - zoo.metrics.keys()):
        note(f"{folder / SOURCES} has settings of {', '.join(unknown)}, and no such metric is installed.")
    if (zeroshot := part_path(folder, sources.zeroshot)).is_dir():
        zeroshot_parts(zeroshot)
    in_use, hashes = _in_use(folder, sources), file_hashes(folder, sources)
    check_counts(part_path(folder, sources.data), hashes, sources.rows, sources.identities)
    check_consistency(part_path(folder, sources.data), hashes)
    label = sources.name or f"{_slug(folder.name)}-{hash_text(str(folder))[:6]}"
    return Benchmark(label, folder, sources, hashes, sources.notice, sources.recommended, in_use)


def _slug(text: str) -> str:
    slug = "".join(c if c.isalnum() and c.isascii() else "-" for c in text.lower()).strip("-")
    return slug or "folder"
