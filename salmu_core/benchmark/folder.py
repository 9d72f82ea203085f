"""A benchmark folder: found, built at first use or downloaded before it, and checked before each use.

``data/*.parquet`` and the JSON files, ``clean/``, ``compromised/``, ``zeroshot/`` and, optionally, a
``benchmark.toml`` that names other sources for these. Nothing here needs torch.
"""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from salmu_core.benchmark.counts import check_counts
from salmu_core.clip.name import CANARY, CONFIG, find_model
from salmu_core.contract.layout import JSON_FILES
from salmu_core.contract.specs import BenchmarkSpec, Progress, check_count_names
from salmu_core.errors import BenchmarkError, SalmuError, UnknownNameError, UsageError
from salmu_core.folders import cache_folder
from salmu_core.plugins import Declared, Zoo
from salmu_core.store.folders import new_folder, write_text
from salmu_core.store.hashing import hash_file, hash_json, hash_text
from salmu_core.store.records import ScoredOn

MANIFEST = "manifest.json"
SOURCES = "benchmark.toml"


class Sources(BaseModel):
    """``benchmark.toml``: where the parts of a benchmark come from, if not from beside it.

    Models are names as `salmu evaluate` takes them: a folder, ``local-dir:PATH``, ``hf-hub:OWNER/NAME[@REVISION]`` or
    ``ARCHITECTURE:WEIGHTS``. Relative paths are relative to the benchmark folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9-]*$", description="Its name in paths and tables.")
    data: str = Field(default=".", description="Folder with `data/*.parquet` and the JSON files.")
    clean: str = Field(default="clean", description="The Clean model.")
    compromised: str = Field(default="compromised", description="The Compromised model.")
    zeroshot: str = Field(default="zeroshot", description="Zero-shot classification set, as a webdataset folder.")
    num_train: int | None = Field(default=None, gt=0, description="Pairs Compromised was trained on.")
    notice: str = Field(default="", description="A sentence that stands above every table.")
    rows: Mapping[str, int] = Field(default_factory=dict, description="Split -> the rows it must have.")
    identities: Mapping[str, int] = Field(default_factory=dict, description="Split -> the people it must show.")

    @model_validator(mode="after")
    def _splits_exist(self) -> Sources:
        check_count_names(self.rows, self.identities)
        return self


@dataclass(frozen=True)
class Benchmark:
    """A benchmark on disk, checked.

    Attributes:
        name: As it stands in paths and tables, e.g. ``mini`` or, for world 3 of it, ``mini@3``.
        folder: Its folder.
        sources: Where its parts come from.
        hashes: Part and path within it -> SHA-256 of each of its files, wherever the part lies.
    """

    name: str
    folder: Path
    sources: Sources
    hashes: dict[str, str]
    notice: str = ""

    @property
    def data(self) -> Path:
        """Folder with the parquet shards (in ``data/``) and the JSON files."""
        return _part(self.folder, self.sources.data)

    @property
    def zeroshot(self) -> Path:
        """Folder of the zero-shot classification set."""
        return _part(self.folder, self.sources.zeroshot)

    def model(self, role: str) -> str:
        """The open_clip name of ``clean`` or ``compromised``."""
        return str(find_model(getattr(self.sources, role), self.folder))

    @property
    def data_hash(self) -> str:
        """SHA-256 over what runs are made of and judged by: all files but the models' and the zero-shot set's."""
        other = ("clean/", "compromised/", "zeroshot/", SOURCES)
        files = {path: h for path, h in self.hashes.items() if not path.startswith(other)}
        return hash_json({"num_train": self.sources.num_train, "files": files})

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


def locate(name: str, zoo: Zoo) -> tuple[Declared[BenchmarkSpec], int, Path] | None:
    """The declaration, world and cache folder that ``mini`` or ``mini@3`` stands for; None for a path.

    Raises:
        UnknownNameError: It is neither an installed benchmark nor an existing folder.
        UsageError: The world is no number, or one of a release, which has none.
    """
    if "/" in name or name.startswith((".", "~")) or (Path(name).is_dir() and name not in zoo.benchmarks):
        return None
    base, at, world = name.partition("@")
    if base not in zoo.benchmarks:
        raise UnknownNameError(
            "benchmark", name, zoo.benchmarks, "A folder in the released layout will do too: give its path."
        )
    if at and not world.isdecimal():
        raise UsageError(f"The world in {name!r} must be a whole number, as in '{base}@3'.")
    number = int(world) if at else 0
    declared = zoo.benchmarks[base]
    if declared.spec.release is not None and number:
        raise UsageError(f"{base} is a published release, of one world only: there is no {name!r}. Say {base!r}.")
    return declared, number, cache_folder() / base / declared.spec.version / f"world-{number}"


def open_benchmark(name: str, zoo: Zoo, progress: Progress) -> Benchmark:
    """Find a benchmark by name or path, build it at first use, and check every file of it.

    Raises:
        UnknownNameError: There is no such benchmark or folder.
        BenchmarkError: The folder lacks a part, a file of the user's own folder can't be read, or a release is not
            here or not as it was downloaded.
    """
    located = locate(name, zoo)
    if located is None:
        return _open_folder(Path(name).expanduser().resolve())
    from filelock import FileLock

    declared, world, folder = located
    if declared.spec.release is not None:
        return _open_release(declared.spec, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        damage = _damage(folder)
        if damage:
            if folder.exists():
                progress(f"{damage}: building it again", 0.0)
                shutil.rmtree(folder)
            with new_folder(folder) as empty:
                _build(declared, empty, world, progress)
                _write_manifest(empty)
    sources = _sources(folder)
    _check_parts(folder, sources)
    label = declared.spec.name if world == 0 else f"{declared.spec.name}@{world}"
    return Benchmark(label, folder, sources, _hashes(folder, sources), sources.notice or declared.spec.notice)


def _build(declared: Declared[BenchmarkSpec], folder: Path, world: int, progress: Progress) -> None:
    build = declared.spec.build
    assert build is not None
    try:
        build(folder, world, progress)
    except SalmuError:
        raise
    except Exception as error:  # a plugin's code: anything can come out of it
        raise BenchmarkError(
            f"{declared.distribution} could not build {declared.spec.name}: {type(error).__name__}: {error}"
        ) from error


def _open_release(spec: BenchmarkSpec, folder: Path) -> Benchmark:
    """What `salmu download` has laid out; nothing is fetched here."""
    if not (folder / MANIFEST).is_file():
        raise BenchmarkError(f"{spec.name} is not on this machine. {how_to_get(spec)}")
    try:
        expected, sources = _manifest(folder), release_sources(folder, spec)
        _check_parts(folder, sources)
    except (BenchmarkError, OSError, ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{spec.name} is no longer whole ({error}). {how_to_get(spec)}") from error
    hashes = release_hashes(folder, sources)
    paths = dict(_parts(folder, sources))
    for name in sorted(expected.keys() | hashes.keys()):
        if expected.get(name) != hashes.get(name):
            said = "is missing" if name not in hashes else "has changed" if name in expected else "has come"
            raise BenchmarkError(
                f"{paths.get(name, folder / name)} {said} since {spec.name} was downloaded: "
                f"`salmu download {spec.name}` checks every file and says what to do"
            )
    check_counts(_part(folder, sources.data), hashes, sources.rows, sources.identities)
    return Benchmark(spec.name, folder, sources, hashes, sources.notice or spec.notice)


def _open_folder(folder: Path) -> Benchmark:
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.")
    sources = _sources(folder)
    _check_parts(folder, sources)
    if "zeroshot" in sources.model_fields_set and not _part(folder, sources.zeroshot).is_dir():
        raise BenchmarkError(
            f"{folder / SOURCES} names a zero-shot set, {_part(folder, sources.zeroshot)}, that is not there: bring "
            "it, or take the line out to go on without GenKnow"
        )
    hashes = _hashes(folder, sources)
    check_counts(_part(folder, sources.data), hashes, sources.rows, sources.identities)
    label = sources.name or f"{_slug(folder.name)}-{hash_text(str(folder))[:6]}"
    return Benchmark(label, folder, sources, hashes, sources.notice)


def how_to_get(spec: BenchmarkSpec, tried: bool = False) -> str:
    """Sentences for whoever lacks a release, or a part of it.

    Args:
        spec: The benchmark.
        tried: Whether `salmu download` is what lacks it.
    """
    assert spec.release is not None
    repositories = ", ".join(repo.repo_id for repo in spec.release.repositories.values())
    fetch = f"`salmu download {spec.name}` fetches and checks it ({repositories}). "
    return (
        f"{'' if tried else fetch}Where no hub can be reached, copy the Hugging Face cache (the folder HF_HOME names, "
        f"by default ~/.cache/huggingface) from a machine that has it and run `salmu download {spec.name}` there; or "
        "lay the files out in a folder by hand and give --benchmark PATH. "
        f"{'' if tried else spec.release.bring}"
    ).strip()


def release_sources(folder: Path, spec: BenchmarkSpec) -> Sources:
    """Where the parts of a downloaded release lie; what must be in them is the declaration's to say."""
    assert spec.release is not None
    fixed = {name: getattr(spec.release, name) for name in ("rows", "identities", "num_train")}
    return _sources(folder).model_copy(update=fixed)


def release_hashes(folder: Path, sources: Sources, known: Mapping[Path, str] | None = None) -> dict[str, str]:
    """Part and path within it -> SHA-256 of each file of a release.

    Args:
        folder: The benchmark's folder.
        sources: Where its parts lie.
        known: File, links resolved -> SHA-256, of what has just been read.
    """
    hashes = _hashes(folder, sources, known or {})
    hashes.pop(SOURCES, None)  # it holds paths of this machine, which are no part of the data
    return hashes


def _slug(text: str) -> str:
    slug = "".join(c if c.isalnum() and c.isascii() else "-" for c in text.lower()).strip("-")
    return slug or "folder"


def _sources(folder: Path) -> Sources:
    path = folder / SOURCES
    if not path.is_file():
        return Sources()
    try:
        return Sources.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise BenchmarkError(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise BenchmarkError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _part(folder: Path, source: str) -> Path:
    """Where a part of a benchmark lies."""
    return folder / Path(source.removeprefix("local-dir:")).expanduser()


def _check_parts(folder: Path, sources: Sources) -> None:
    parquet = _part(folder, sources.data) / "data"
    missing = [] if list(parquet.glob("*.parquet")) else [str(parquet / "*.parquet")]
    for source in (sources.clean, sources.compromised):
        try:
            find_model(source, folder)
        except UsageError as error:
            # As a folder, which is what it is by default, it is one more thing that is missing.
            if ":" in source.removeprefix("local-dir:"):
                raise BenchmarkError(f"{folder / SOURCES}: {error}") from error
            missing.append(str(_part(folder, source) / CONFIG))
    if missing:
        raise BenchmarkError(
            f"{folder} is not a benchmark folder: missing {', '.join(missing)}. "
            f"It needs data/*.parquet, the JSON files, clean/, compromised/ and zeroshot/, or a {SOURCES} "
            "that names other sources."
        )


def _parts(folder: Path, sources: Sources) -> Iterator[tuple[str, Path]]:
    """Name and path of every file a benchmark consists of, wherever its parts lie."""
    if (folder / SOURCES).is_file():
        yield SOURCES, folder / SOURCES
    data = _part(folder, sources.data)
    for path in [*sorted((data / "data").glob("*.parquet")), *(data / name for name in JSON_FILES)]:
        if path.is_file():
            yield str(path.relative_to(data)), path
    zeroshot = _part(folder, sources.zeroshot)
    for path in [
        *sorted(zeroshot.glob("*.txt")),
        zeroshot / "test" / "nshards.txt",
        *sorted(zeroshot.glob("test/*.tar")),
    ]:
        if path.is_file():
            yield f"zeroshot/{path.relative_to(zeroshot)}", path
    roots = {}
    for role in ("clean", "compromised"):
        model = find_model(getattr(sources, role), folder)
        if model.weights is not None:
            yield f"{role}/{model.weights.name}", model.weights
        elif model.folder is not None:
            roots[role] = model.folder
    for part, root in roots.items():
        yield from ((f"{part}/{path.relative_to(root)}", path) for path in _files(root))


def _files(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):  # a set on another disk is a link
        real = os.path.realpath(root)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if real not in seen else []
        for name in sorted(names) if real not in seen else ():
            path = Path(root, name)
            if path.is_file() and name not in (MANIFEST, CANARY) and not name.startswith("."):
                yield path
        seen.add(real)


def _entry(path: Path, sha256: str) -> dict[str, Any]:
    stat = path.stat()
    return {"path": str(path.resolve()), "sha256": sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _write_manifest(folder: Path) -> None:
    files = {str(p.relative_to(folder)): hash_file(p) for p in _files(folder)}
    write_text(folder / MANIFEST, json.dumps({"files": files}, indent=1) + "\n")


def _manifest(folder: Path) -> dict[str, str]:
    files: dict[str, str] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    return files


def _damage(folder: Path) -> str | None:
    """A sentence if a built folder is absent or not as it was written; file contents are all read."""
    if not folder.exists():
        return "building"
    try:
        expected = _manifest(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return f"{folder} has no readable {MANIFEST}"
    present = {str(p.relative_to(folder)): p for p in _files(folder)}
    if missing := sorted(expected.keys() - present.keys()):
        return f"{folder / missing[0]} is missing"
    if extra := sorted(present.keys() - expected.keys()):
        return f"{folder / extra[0]} does not belong there"
    for path, sha256 in expected.items():
        if hash_file(present[path]) != sha256:
            return f"{folder / path} is damaged"
    return None


def _hashes(folder: Path, sources: Sources, fresh: Mapping[Path, str] | None = None) -> dict[str, str]:
    """Hash every file of a benchmark, reading again only those whose size or time has changed."""
    stamp = cache_folder() / "hashes" / f"{hash_text(str(folder))[:16]}.json"
    try:
        known: dict[str, dict[str, Any]] = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    entries: dict[str, dict[str, Any]] = {}
    for name, path in _parts(folder, sources):
        old = known.get(name, {})
        just_read = (fresh or {}).get(path.resolve())
        same = not just_read and bool(old) and _entry(path, str(old.get("sha256"))) == old
        entries[name] = old if same else _entry(path, just_read or hash_file(path))
    if entries != known:
        write_text(stamp, json.dumps(entries, indent=1))
    return {name: entry["sha256"] for name, entry in entries.items()}
