"""`salmu download`: a release is fetched into the hub client's cache, checked, and laid out as a benchmark folder.

The folder is small: links to the two models, and a ``benchmark.toml`` that says where the data lie. Everything else
reads it as it reads any other benchmark folder.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from salmu_core.benchmark.counts import check_counts
from salmu_core.benchmark.download.hub import HubFile, Snapshot, UnreachableError, fetch, offline, resolve
from salmu_core.benchmark.download.verify import check_parts, check_zeroshot, verify
from salmu_core.benchmark.folder import how_to_get, locate, release_hashes, release_sources
from salmu_core.benchmark.sources import MANIFEST, SOURCES
from salmu_core.contract.progress import Progress
from salmu_core.contract.specs import BenchmarkSpec, HubRepo
from salmu_core.errors import BenchmarkError, UsageError
from salmu_core.plugins import Zoo
from salmu_core.store.files import new_folder, write_text


class Pinned(BaseModel):
    """What a repository was resolved to, and what the hub listed there."""

    model_config = ConfigDict(frozen=True)

    repo_id: str
    declared: str
    revision: str
    commit: str
    files: dict[str, tuple[int | None, str | None]]

    @classmethod
    def of(cls, snapshot: Snapshot, declared: HubRepo) -> Pinned:
        """As it goes into the manifest."""
        files = {path: (file.size, file.digest) for path, file in snapshot.files.items()}
        repo, commit = snapshot.repo, snapshot.commit
        return cls(repo_id=repo.repo_id, declared=declared.revision, revision=repo.revision, commit=commit, files=files)


class Manifest(BaseModel):
    """What was downloaded.

    Attributes:
        files: Part and path within it -> SHA-256; as a built benchmark's manifest has it.
        pinned: Role -> repository and commit.
        zeroshot: Folder of the zero-shot set that was brought.
    """

    model_config = ConfigDict(frozen=True)

    files: dict[str, str] = {}
    pinned: dict[str, Pinned] = {}
    zeroshot: str | None = None


@dataclass(frozen=True)
class Downloaded:
    """What `download` has done.

    Attributes:
        spec: The benchmark.
        folder: Its folder.
        snapshots: Role -> what lies in the cache.
        zeroshot: The zero-shot set, if one was brought.
        laid_out: Whether the folder stands; not after a mere check of what was never laid out.
    """

    spec: BenchmarkSpec
    folder: Path
    snapshots: Mapping[str, Snapshot]
    zeroshot: Path | None
    laid_out: bool

    def as_json(self) -> dict[str, Any]:
        """As ``salmu download --json`` prints it."""
        repositories = {
            role: {
                "repo_id": found.repo.repo_id,
                "revision": found.repo.revision,
                "commit": found.commit,
                "folder": str(found.folder),
                "files": len(found.files),
                "bytes": found.size,
                "fetched": found.fetched,
                "unverified": sum(file.digest is None for file in found.files.values()),
            }
            for role, found in self.snapshots.items()
        }
        assert self.spec.release is not None
        shown = {"benchmark": self.spec.name, "folder": str(self.folder), "ready": self.laid_out}
        shown |= {"repositories": repositories, "zeroshot": str(self.zeroshot) if self.zeroshot else None}
        return {**shown, "rows": dict(self.spec.release.rows), "identities": dict(self.spec.release.identities)}


def read_manifest(folder: Path) -> Manifest:
    """What was downloaded at an earlier time; an empty one if nothing was."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError):
        return Manifest()


def parse_revisions(given: list[str]) -> dict[str, str]:
    """``["clean=main"]`` -> ``{"clean": "main"}``.

    Raises:
        UsageError: An item is of another form.
    """
    found = {}
    for item in given:
        role, equals, revision = item.partition("=")
        if role not in ("data", "clean", "compromised") or not equals or not revision:
            raise UsageError(f"--revision {item}: say data=REVISION, clean=REVISION or compromised=REVISION.")
        found[role] = revision
    return found


def download(
    name: str,
    zoo: Zoo,
    progress: Progress,
    *,
    zeroshot: Path | None = None,
    revisions: Mapping[str, str] | None = None,
    check: bool = False,
) -> Downloaded:
    """Fetch what is missing of a release, check all of it, and lay it out as a benchmark folder.

    A revision that was resolved at an earlier time stays what it was then. What has come whole is never fetched again,
    and with everything in the cache no network is needed.

    Args:
        name: An installed benchmark.
        zoo: What is installed.
        progress: Told what is being done.
        zeroshot: A zero-shot set; remembered.
        revisions: ``data``, ``clean`` or ``compromised`` -> another revision than the declared one.
        check: Only look: fetch nothing, write nothing.

    Raises:
        UsageError: It is no release, or a folder given is none.
        BenchmarkError: Something can't be had, is damaged, or is not what it should be.
    """
    spec, folder = _release(name, zoo)
    before = read_manifest(folder)
    if zeroshot is not None:
        zeroshot = zeroshot.expanduser().resolve()
        if not zeroshot.is_dir():
            raise UsageError(f"--zeroshot: there is no folder {zeroshot}.")
    elif before.zeroshot is not None and not (zeroshot := Path(before.zeroshot)).is_dir():
        raise BenchmarkError(
            f"The zero-shot set of an earlier time, {zeroshot}, is gone: say where it is now (--zeroshot PATH), or "
            f"delete {folder} and run again to go on without."
        )
    if zeroshot is not None:
        check_zeroshot(zeroshot)
    snapshots = _snapshots(spec, before, revisions or {}, not check and not offline(), progress)
    try:
        fresh = verify(list(snapshots.values()), spec.name, progress)
        check_parts(snapshots)
        assert spec.release is not None
        data = snapshots["data"]
        hashes = {path: fresh[(data.folder / path).resolve()] for path in data.files}
        check_counts(data.folder, hashes, spec.release.rows, spec.release.identities)
    except BenchmarkError as error:
        raise BenchmarkError(f"{spec.name}: {error}") from error
    if not check:
        _lay_out(spec, folder, snapshots, zeroshot, fresh, progress)
    return Downloaded(spec, folder, snapshots, zeroshot, (folder / MANIFEST).is_file())


def _release(name: str, zoo: Zoo) -> tuple[BenchmarkSpec, Path]:
    located = locate(name, zoo)
    if located is None:
        raise UsageError(f"{name} is a folder; what is downloaded is an installed benchmark.")
    declared, _, folder = located
    if declared.spec.release is None:
        raise UsageError(f"{declared.spec.name} is made on this machine at first use; there is nothing to download.")
    return declared.spec, folder


def _snapshots(
    spec: BenchmarkSpec, before: Manifest, revisions: Mapping[str, str], online: bool, progress: Progress
) -> dict[str, Snapshot]:
    assert spec.release is not None
    found = {}
    for role, declared in spec.release.repositories.items():
        old, asked = before.pinned.get(role), revisions.get(role)
        if old is not None and (old.repo_id, old.declared) != (declared.repo_id, declared.revision):
            old = None  # of an earlier release of the plugin
        repo = _revised(declared, asked or (old.revision if old else None))
        try:
            # Asked for on the command line, a branch is looked up again; else it stays where it was.
            commit = old.commit if old and not asked else resolve(repo, online)
            recorded = {p: HubFile(*f) for p, f in old.files.items()} if old and old.commit == commit else None
            found[role] = fetch(repo, commit, recorded, online, progress)
        except UnreachableError as error:
            raise BenchmarkError(f"{spec.name}: {error} {how_to_get(spec, tried=True)}") from error
        except BenchmarkError as error:
            raise BenchmarkError(f"{spec.name}: {str(error).rstrip('.')}. {how_to_get(spec, tried=True)}") from error
    return found


def _revised(repo: HubRepo, revision: str | None) -> HubRepo:
    if revision is None:
        return repo
    try:
        return HubRepo.model_validate({**repo.model_dump(), "revision": revision})
    except ValidationError as error:
        raise UsageError(f"--revision: {revision!r} is no revision of {repo.repo_id}.") from error


def _lay_out(
    spec: BenchmarkSpec,
    folder: Path,
    snapshots: Mapping[str, Snapshot],
    zeroshot: Path | None,
    fresh: Mapping[Path, str],
    progress: Progress,
) -> None:
    """Write the folder, unless it stands already; the manifest comes last and says that it is whole."""
    from filelock import FileLock

    release = spec.release
    assert release is not None
    toml = _sources_text(spec, snapshots, zeroshot)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not _stands(folder, toml, snapshots):
            with new_folder(folder) as new:
                (new / SOURCES).write_text(toml, encoding="utf-8")
                for role in ("clean", "compromised"):
                    _link(snapshots[role], new / role)
        if zeroshot is not None:
            progress(f"reading {zeroshot}", 1.0)
        manifest = Manifest(
            files=release_hashes(folder, release_sources(folder, spec), fresh),
            pinned={role: Pinned.of(found, release.repositories[role]) for role, found in snapshots.items()},
            zeroshot=str(zeroshot) if zeroshot else None,
        )
        if manifest != read_manifest(folder):
            write_text(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n")


def _sources_text(spec: BenchmarkSpec, snapshots: Mapping[str, Snapshot], zeroshot: Path | None) -> str:
    release = spec.release
    assert release is not None
    others = [
        f"{role} at {snapshots[role].repo.revision}"
        for role, repo in release.repositories.items()
        if snapshots[role].repo.revision != repo.revision
    ]
    notice = f"Other revisions than the published ones: {', '.join(others)}. {spec.notice}".strip() if others else ""
    values = {"name": spec.name, "data": str(snapshots["data"].folder.absolute()), "num_train": release.num_train}
    values |= {"zeroshot": str(zeroshot)} if zeroshot else {}
    values |= {"notice": notice} if notice else {}
    lines = [_toml(values)]
    lines += [f"[{table}]\n{_toml(getattr(release, table))}" for table in ("rows", "identities")]
    return "\n".join(lines)


def _toml(values: Mapping[str, object]) -> str:
    # JSON's strings and numbers are TOML's too, as long as no character is written as a pair of surrogates.
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())


def _link(snapshot: Snapshot, folder: Path) -> None:
    """Exactly the wanted files: what else lies in a snapshot differs from machine to machine."""
    for path in snapshot.files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        target = (snapshot.folder / path).absolute()
        try:
            (folder / path).symlink_to(target)
        except OSError:  # a system that lets only some users make links
            shutil.copy2(target, folder / path)


def _stands(folder: Path, toml: str, snapshots: Mapping[str, Snapshot]) -> bool:
    try:
        same = (folder / SOURCES).read_text(encoding="utf-8") == toml
    except OSError:
        return False
    for role in ("clean", "compromised"):
        snapshot = snapshots[role]
        lying = {p.relative_to(folder / role).as_posix(): p for p in (folder / role).rglob("*") if not p.is_dir()}
        same &= lying.keys() == snapshot.files.keys() and all(
            found.is_symlink() and found.resolve() == (snapshot.folder / path).resolve()
            for path, found in lying.items()
        )
    return same
