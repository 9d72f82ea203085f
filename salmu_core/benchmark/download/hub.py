"""Repositories of the Hugging Face hub in its client's cache: which commit, which files, fetched once.

The cache's layout is the client's: ``snapshots/<commit>/<path>`` links to ``blobs/<digest>``, where the digest is the
SHA-256 of a large file and the git blob SHA-1 of a small one; ``trees/<commit>.json`` lists a commit's files.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from salmu_core.contract.progress import Progress
from salmu_core.contract.specs import HubRepo
from salmu_core.errors import BenchmarkError, UsageError

COMMIT = re.compile(r"[0-9a-f]{40}")
#: What may be the first digits of a commit; git itself never writes fewer than seven.
PREFIX = re.compile(r"[0-9a-f]{7,39}")
DIGEST = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")


class UnreachableError(BenchmarkError):
    """No hub answers."""


@dataclass(frozen=True)
class HubFile:
    """What the hub says of a file: its size in bytes, and its SHA-256 (64 digits) or git blob SHA-1 (40 digits)."""

    size: int | None
    digest: str | None


#: Path within a repository -> its file.
Listing = Mapping[str, HubFile]


@dataclass(frozen=True)
class Snapshot:
    """A repository at a commit, in the cache.

    Attributes:
        repo: The repository.
        commit: The commit, 40 digits.
        folder: Where its files lie.
        files: The wanted ones among them.
        fetched: How many of them have come from the hub just now.
        listed: Whether the hub's own list of files is known, or only what lies in the cache.
    """

    repo: HubRepo
    commit: str
    folder: Path
    files: Listing
    fetched: int = 0
    listed: bool = True

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum((self.folder / path).stat().st_size for path in self.files)


def size_text(size: int) -> str:
    """Bytes as people say them."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"


def offline() -> bool:
    """Whether the hub client has been told to keep off the network."""
    return constants.HF_HUB_OFFLINE


def cache_of(repo: HubRepo) -> Path:
    """Where the client keeps a repository."""
    return Path(constants.HF_HUB_CACHE) / "--".join([f"{repo.kind}s", *repo.repo_id.split("/")])


def resolve(repo: HubRepo, online: bool) -> str:
    """The commit a revision stands for: by what lies in the cache where that settles it, else by the hub.

    Raises:
        UsageError: Several commits begin like that.
        BenchmarkError: There is no such commit, or no hub answers and nothing in the cache is it.
    """
    if COMMIT.fullmatch(repo.revision):
        return repo.revision
    cached = _cached_commits(repo)
    short = bool(PREFIX.fullmatch(repo.revision))
    if short and (found := _beginning(repo, cached)):
        return found
    unreachable: UnreachableError | None = None
    if online:
        try:
            with _told(repo):
                return _ask(repo, short)
        except UnreachableError as error:
            unreachable = error
    ref = cache_of(repo) / "refs" / repo.revision
    if ref.is_file() and COMMIT.fullmatch(commit := ref.read_text(encoding="utf-8").strip()):
        return commit
    if not short and len(cached) == 1:  # a cache that was filled by commits has no refs
        return cached[0]
    raise unreachable or BenchmarkError(
        f"{repo.repo_id} at revision {repo.revision} is not in the Hugging Face cache ({cache_of(repo)})."
    )


def _cached_commits(repo: HubRepo) -> list[str]:
    folder = cache_of(repo) / "snapshots"
    return sorted(path.name for path in folder.glob("*") if COMMIT.fullmatch(path.name))


def _beginning(repo: HubRepo, commits: list[str]) -> str | None:
    found = [commit for commit in commits if commit.startswith(repo.revision)]
    if len(found) > 1:
        raise UsageError(f"{repo.repo_id} has {len(found)} commits that begin with {repo.revision}: give more digits.")
    return found[0] if found else None


def _ask(repo: HubRepo, short: bool) -> str:
    api = HfApi()
    try:
        found = api.repo_info(repo.repo_id, repo_type=repo.kind, revision=repo.revision).sha
    except RevisionNotFoundError:
        if not short:
            raise
        found = _beginning(repo, [c.commit_id for c in api.list_repo_commits(repo.repo_id, repo_type=repo.kind)])
    if found is None or not COMMIT.fullmatch(found):
        raise BenchmarkError(
            f"{repo.repo_id} has no commit that begins with {repo.revision} on its main branch: --revision names "
            "another"
        )
    return found


def fetch(repo: HubRepo, commit: str, recorded: Listing | None, online: bool, progress: Progress) -> Snapshot:
    """The wanted files of a commit; what the cache has already is not fetched again.

    Args:
        repo: The repository.
        commit: The commit.
        recorded: What the hub listed at an earlier time.
        online: Whether the hub may be asked.
        progress: Told what is being done.

    Raises:
        BenchmarkError: Files are missing and can't be had, or the disk is too small for them.
    """
    folder = cache_of(repo) / "snapshots" / commit
    listing = recorded or _cached_listing(repo, commit)
    unreachable = None
    if listing is None and online:
        try:
            listing = _hub_listing(repo, commit)
        except UnreachableError as error:
            unreachable = error
    listed = listing is not None
    if listing is None:
        listing, online = _lying(repo, folder), False
    if not listing:
        raise unreachable or BenchmarkError(f"{repo.repo_id} is not in the Hugging Face cache ({folder}).")
    absent = {path: file for path, file in listing.items() if not (folder / path).exists()}
    if absent and online:
        size = _check_room(repo, absent)
        progress(f"fetching {len(absent)} files of {repo.repo_id} ({size_text(size)})", 0.0)
        with _told(repo):
            snapshot_download(repo.repo_id, repo_type=repo.kind, revision=commit, allow_patterns=list(repo.files))
    if missing := sorted(path for path in absent if not (folder / path).exists()):
        raise BenchmarkError(
            f"{len(missing)} of {len(listing)} files of {repo.repo_id} are missing: {folder / missing[0]}"
        )
    return Snapshot(repo, commit, folder, listing, len(absent), listed)


def _wanted(repo: HubRepo, path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in repo.files)


def _hub_listing(repo: HubRepo, commit: str) -> Listing:
    with _told(repo):
        info = HfApi().repo_info(repo.repo_id, repo_type=repo.kind, revision=commit, files_metadata=True)
    found = {
        each.rfilename: HubFile(each.size, each.lfs.sha256 if each.lfs else each.blob_id)
        for each in getattr(info, "siblings", None) or ()
        if _wanted(repo, each.rfilename)
    }
    if not found:
        raise BenchmarkError(f"{repo.repo_id} at {commit} has none of the files {', '.join(repo.files)}")
    return found


def _cached_listing(repo: HubRepo, commit: str) -> Listing | None:
    """What the client itself remembers of a commit."""
    try:
        tree = json.loads((cache_of(repo) / "trees" / f"{commit}.json").read_text(encoding="utf-8"))
        return {
            path: HubFile(file.get("lfs_size") or file["size"], file.get("lfs_sha256") or file["blob_id"])
            for path, file in tree["files"].items()
            if _wanted(repo, path)
        } or None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _lying(repo: HubRepo, folder: Path) -> Listing:
    """The wanted files of a snapshot, with the digests their blobs are called by."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: HubFile(None, _blob_name(path)) for name, path in names.items() if _wanted(repo, name)}


def _blob_name(path: Path) -> str | None:
    name = path.readlink().name if path.is_symlink() else ""
    return name if DIGEST.fullmatch(name) else None


def _check_room(repo: HubRepo, absent: Listing) -> int:
    """Bytes still to be fetched.

    Raises:
        BenchmarkError: There is no room for them.
    """
    size = sum(file.size or 0 for file in absent.values())
    cache = Path(constants.HF_HUB_CACHE).absolute()
    there = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < size:
        raise BenchmarkError(
            f"{repo.repo_id} needs {size_text(size)} more in {cache}, where {size_text(free)} are free: make room, or "
            "set HF_HOME to a folder on a larger disk"
        )
    return size


@contextmanager
def _told(repo: HubRepo) -> Iterator[None]:
    """Turn what the client raises into sentences."""
    where = f"the {repo.kind} {repo.repo_id} at {constants.ENDPOINT}"
    try:
        yield
    except (BenchmarkError, UsageError):
        raise
    except GatedRepoError as error:
        raise BenchmarkError(
            f"{where} is open only to those who agree to its terms: do that on its page, then `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise BenchmarkError(f"there is no {where[4:]}, or it is private: then `hf auth login` first") from error
    except RevisionNotFoundError as error:
        raise BenchmarkError(f"{where} has no revision {repo.revision!r}: --revision names another") from error
    except Exception as error:  # the client's own, its HTTP library's, or the disk's
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise UnreachableError(
            f"{where} could not be fetched ({type(error).__name__}: {first}). Files that have come whole are kept, and "
            "the same command goes on from there."
        ) from error
