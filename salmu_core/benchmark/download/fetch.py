"""From what a release declares to a benchmark folder.

The folder is small: links to the two models, and a manifest that says where the data lie and what every file is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salmu_core.benchmark.counts import check_counts
from salmu_core.benchmark.download.hub import offline, take_snapshot
from salmu_core.benchmark.download.verify import check_contents, verify
from salmu_core.benchmark.locate import locate
from salmu_core.benchmark.manifest import Manifest, Snapshot, file_hashes, part_files, read_manifest, write_manifest
from salmu_core.benchmark.release import how_to_get, release_sources
from salmu_core.benchmark.zeroshot import zeroshot_parts
from salmu_core.contract.layout import MANIFEST, ROLES
from salmu_core.contract.progress import Progress
from salmu_core.contract.specs import BenchmarkSpec
from salmu_core.disk.files import make_home, new_folder
from salmu_core.disk.record import FileSeal
from salmu_core.errors import BenchmarkError, UsageError
from salmu_core.plugins.zoo import Zoo


@dataclass(frozen=True)
class Downloaded:
    """What `download` has done.

    Attributes:
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
        release = self.spec.release
        assert release is not None
        repositories = {
            role: {
                **snapshot.model_dump(mode="json", include={"repo_id", "revision", "commit", "folder"}),
                "files": len(snapshot.files),
                "bytes": snapshot.size,
                "fetched": snapshot.fetched,
                "unverified": snapshot.unverified,
            }
            for role, snapshot in self.snapshots.items()
        }
        return {
            "benchmark": self.spec.name,
            "folder": str(self.folder),
            "ready": self.laid_out,
            "repositories": repositories,
            "zeroshot": str(self.zeroshot) if self.zeroshot else None,
            "rows": dict(release.rows),
            "identities": dict(release.identities),
        }


def parse_revisions(options: list[str]) -> dict[str, str]:
    """``["clean=main"]`` -> ``{"clean": "main"}``.

    Raises:
        UsageError: An item is of another form.
    """
    revisions = {}
    for option in options:
        role, _, revision = option.partition("=")
        if role not in ("data", *ROLES) or not revision:
            raise UsageError(f"--revision {option}: say data=REVISION, clean=REVISION or compromised=REVISION.")
        revisions[role] = revision
    return revisions


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
        zeroshot: A zero-shot set; remembered.
        revisions: ``data``, ``clean`` or ``compromised`` -> another revision than the declared one.
        check: Only look: fetch nothing, write nothing.

    Raises:
        UsageError: It is no release, or a folder given is none.
        BenchmarkError: Something can't be had, is damaged, or is not what it should be.
    """
    located = locate(name, zoo)
    if located is None:
        raise UsageError(f"{name} is a folder; what is downloaded is an installed benchmark.")
    spec, folder = located[0].card, located[2]
    if spec.release is None:
        raise UsageError(f"{spec.name} is made on this machine at first use; there is nothing to download.")
    try:
        before = read_manifest(folder)
    except BenchmarkError:  # nothing was downloaded
        before = Manifest(files={})
    zeroshot = _zeroshot(zeroshot, before.zeroshot, folder)
    online = not check and not offline()
    snapshots: dict[str, Snapshot] = {}
    for role, repo in spec.release.repositories.items():
        try:
            kept, asked = before.pinned.get(role), (revisions or {}).get(role)
            snapshots[role] = take_snapshot(repo, kept, asked, online, progress)
        except BenchmarkError as error:
            raise BenchmarkError(f"{spec.name}: {str(error).rstrip('.')}. {how_to_get(spec, tried=True)}") from error
    try:
        hashes = verify(list(snapshots.values()), spec.name, progress)
        check_contents(snapshots)
        data = snapshots["data"]
        shards = {path: hashes[(data.folder / path).resolve()] for path in data.files}
        check_counts(data.folder, shards, spec.release.rows, spec.release.identities)
    except BenchmarkError as error:
        raise BenchmarkError(f"{spec.name}: {error}") from error
    if not check:
        _lay_out(folder, snapshots)
        manifest = Manifest(files={}, pinned=snapshots, zeroshot=str(zeroshot) if zeroshot else None)
        sources = release_sources(spec, manifest)
        paths, found = dict(part_files(folder, sources)), file_hashes(folder, sources, hashes)
        files = {name: FileSeal(size=paths[name].stat().st_size, sha256=found[name]) for name in found}
        write_manifest(folder, manifest.model_copy(update={"files": files}))  # last: it says that the folder is whole
    return Downloaded(spec, folder, snapshots, zeroshot, (folder / MANIFEST).is_file())


def _zeroshot(brought: Path | None, before: str | None, folder: Path) -> Path | None:
    """The zero-shot set that was brought, now or at an earlier time."""
    if brought is not None:
        zeroshot = brought.expanduser().resolve()
        if not zeroshot.is_dir():
            raise UsageError(f"--zeroshot: there is no folder {zeroshot}.")
    elif before is None:
        return None
    elif not (zeroshot := Path(before)).is_dir():
        raise BenchmarkError(
            f"The zero-shot set of an earlier time, {zeroshot}, is gone: say where it is now (--zeroshot PATH), or "
            f"delete {folder} and run again to go on without."
        )
    try:
        zeroshot_parts(zeroshot)
    except BenchmarkError as error:
        layout = "the webdataset layout of CLIP_benchmark"
        raise BenchmarkError(f"{zeroshot} is no zero-shot set in {layout}: {error}") from error
    return zeroshot


def _lay_out(folder: Path, snapshots: Mapping[str, Snapshot]) -> None:
    """Write the folder, unless it stands already: links to exactly the wanted files of the models.

    What else lies in a snapshot differs from machine to machine.
    """
    from filelock import FileLock

    links = {Path(role, path): snapshots[role].folder / path for role in ROLES for path in snapshots[role].files}
    make_home(folder.parent)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        standing = [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
        targets = {path.relative_to(folder): path.is_symlink() and path.readlink() for path in standing}
        if {path: target for path, target in targets.items() if path != Path(MANIFEST)} == links:
            return
        with new_folder(folder) as new:
            for path, target in links.items():
                (new / path).parent.mkdir(parents=True, exist_ok=True)
                (new / path).symlink_to(target)
