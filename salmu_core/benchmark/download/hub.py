"""Repositories of the Hugging Face hub in its client's cache: which commit, which files, fetched once.

The client resumes what broke off and keeps what came whole. Its cache has ``snapshots/<commit>/<path>`` as links to
``blobs/<digest>``, where the digest is the SHA-256 of a large file and the git blob SHA-1 of a small one;
``trees/<commit>.json`` lists a commit's files.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from pydantic import ValidationError

from salmu_core.benchmark.manifest import HubFile, Snapshot
from salmu_core.contract.progress import Progress
from salmu_core.contract.specs import HubRepo
from salmu_core.disk.reading import read_json
from salmu_core.errors import BenchmarkError, FileError, UsageError

COMMIT = re.compile(r"[0-9a-f]{40}")
#: What may be the first digits of a commit; git itself never writes fewer than seven.
PREFIX = re.compile(r"[0-9a-f]{7,39}")
DIGEST = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")

#: Path within a repository -> its file.
Listing = dict[str, HubFile]


class UnreachableError(BenchmarkError):
    """No hub answers.

    Wait, or look after the network; what was fetched already is kept, and the same command goes on from there.
    """


def size_text(size: int) -> str:
    """Bytes as people say them."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"


def offline() -> bool:
    """Whether the hub client has been told to keep off the network."""
    return constants.HF_HUB_OFFLINE


def take_snapshot(
    repo: HubRepo, kept: Snapshot | None, asked: str | None, online: bool, progress: Progress
) -> Snapshot:
    """The wanted files of a repository; what the cache has already is not fetched again.

    Args:
        repo: The repository, as its benchmark declares it.
        kept: What it was resolved to at an earlier time, which it stays.
        asked: Another revision, which is looked up in any case.
        online: Whether the hub may be asked.

    Raises:
        UsageError: There can be no such revision, or several commits begin like it.
        BenchmarkError: There is no such commit, files are missing and can't be had, or the disk is too small for them.
    """
    if kept is not None and (kept.repo_id, kept.declared) != (repo.repo_id, repo.revision):
        kept = None  # of an earlier release of the plugin
    revision = asked or (kept.revision if kept else repo.revision)
    try:
        wanted = HubRepo.model_validate({**repo.model_dump(), "revision": revision})
    except ValidationError as error:
        raise UsageError(f"--revision: {revision!r} is no revision of {repo.repo_id}.") from error
    commit, files = (kept.commit, kept.files) if kept and not asked else _look_up(wanted, kept, online)
    folder = _cache_of(repo) / "snapshots" / commit
    absent = {path: file for path, file in files.items() if not (folder / path).exists()}
    if absent and online:
        size = _check_room(repo, absent)
        progress(f"fetching {len(absent)} files of {repo.repo_id} ({size_text(size)})", 0.0)
        with _as_sentences(wanted):
            snapshot_download(repo.repo_id, repo_type=repo.kind, revision=commit, allow_patterns=list(repo.files))
    if missing := sorted(path for path in absent if not (folder / path).exists()):
        raise BenchmarkError(
            f"{len(missing)} of {len(files)} files of {repo.repo_id} are missing: {folder / missing[0]}"
        )
    return Snapshot(
        repo_id=repo.repo_id,
        declared=repo.revision,
        revision=revision,
        commit=commit,
        folder=folder.absolute(),
        files=files,
        fetched=len(absent),
    )


def _look_up(repo: HubRepo, kept: Snapshot | None, online: bool) -> tuple[str, Listing]:
    """The commit a revision stands for and its wanted files: as the hub says or, where none answers, the cache."""
    unreachable: UnreachableError | None = None
    if online:
        try:
            return _ask_hub(repo)
        except UnreachableError as error:
            unreachable = error
    commit = _cached_commit(repo)
    if commit is not None:
        files = kept.files if kept and kept.commit == commit else _cached_files(repo, commit)
        if files:
            return commit, files
    raise unreachable or BenchmarkError(
        f"{repo.repo_id} at revision {repo.revision} is not in the Hugging Face cache ({_cache_of(repo)})."
    )


def _ask_hub(repo: HubRepo) -> tuple[str, Listing]:
    api = HfApi()
    ask = partial(api.repo_info, repo.repo_id, repo_type=repo.kind, files_metadata=True)
    with _as_sentences(repo):
        try:
            info = ask(revision=repo.revision)
        except RevisionNotFoundError:
            if not PREFIX.fullmatch(repo.revision):
                raise
            commits = [commit.commit_id for commit in api.list_repo_commits(repo.repo_id, repo_type=repo.kind)]
            if (beginning := _beginning(repo, commits)) is None:
                raise BenchmarkError(
                    f"{repo.repo_id} has no commit that begins with {repo.revision} on its main branch: --revision "
                    "names another"
                ) from None
            info = ask(revision=beginning)
    files = {
        file.rfilename: HubFile(file.size, file.lfs.sha256 if file.lfs else file.blob_id)
        for file in getattr(info, "siblings", None) or ()
        if _wanted(repo, file.rfilename)
    }
    if info.sha is None or not files:
        raise BenchmarkError(f"{repo.repo_id} at {info.sha} has none of the files {', '.join(repo.files)}")
    return info.sha, files


def _cache_of(repo: HubRepo) -> Path:
    return Path(constants.HF_HUB_CACHE) / "--".join([f"{repo.kind}s", *repo.repo_id.split("/")])


def _cached_commit(repo: HubRepo) -> str | None:
    cache = _cache_of(repo)
    ref = cache / "refs" / repo.revision
    if ref.is_file() and COMMIT.fullmatch(commit := ref.read_text(encoding="utf-8").strip()):
        return commit
    commits = [path.name for path in (cache / "snapshots").glob("*") if COMMIT.fullmatch(path.name)]
    if COMMIT.fullmatch(repo.revision) or PREFIX.fullmatch(repo.revision):
        return _beginning(repo, commits)
    return commits[0] if len(commits) == 1 else None  # a cache that was filled by commits has no refs


def _beginning(repo: HubRepo, commits: list[str]) -> str | None:
    matches = [commit for commit in commits if commit.startswith(repo.revision)]
    if len(matches) > 1:
        raise UsageError(
            f"{repo.repo_id} has {len(matches)} commits that begin with {repo.revision}: give more digits."
        )
    return matches[0] if matches else None


def _wanted(repo: HubRepo, path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in repo.files)


def _cached_files(repo: HubRepo, commit: str) -> Listing:
    """What the client remembers of a commit; else what lies there, with the digests its blobs are called by."""
    try:
        tree = read_json(_cache_of(repo) / "trees" / f"{commit}.json")
        files = {
            path: HubFile(file.get("lfs_size") or file["size"], file.get("lfs_sha256") or file["blob_id"])
            for path, file in tree["files"].items()
        }
    except (FileError, KeyError, TypeError, AttributeError):
        folder = _cache_of(repo) / "snapshots" / commit
        paths = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or path.is_file()]
        files = {path.relative_to(folder).as_posix(): HubFile(None, _blob_digest(path)) for path in paths}
    return {path: file for path, file in files.items() if _wanted(repo, path)}


def _blob_digest(path: Path) -> str | None:
    name = path.readlink().name if path.is_symlink() else ""
    return name if DIGEST.fullmatch(name) else None


def _check_room(repo: HubRepo, absent: Listing) -> int:
    """Bytes still to be fetched.

    Raises:
        BenchmarkError: There is no room for them.
    """
    size = sum(file.size or 0 for file in absent.values())
    cache = Path(constants.HF_HUB_CACHE).absolute()
    disk = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(disk).free
    if free < size:
        raise BenchmarkError(
            f"{repo.repo_id} needs {size_text(size)} more in {cache}, where {size_text(free)} are free: make room, or "
            "set HF_HOME to a folder on a larger disk"
        )
    return size


@contextmanager
def _as_sentences(repo: HubRepo) -> Iterator[None]:
    """Turn what the client raises into sentences."""
    where = f"{repo.kind} {repo.repo_id} at {constants.ENDPOINT}"
    try:
        yield
    except (BenchmarkError, UsageError):
        raise
    except GatedRepoError as error:
        raise BenchmarkError(
            f"the {where} is open only to those who agree to its terms: do that on its page, then `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise BenchmarkError(f"there is no {where}, or it is private: then `hf auth login` first") from error
    except RevisionNotFoundError as error:
        raise BenchmarkError(f"the {where} has no revision {repo.revision!r}: --revision names another") from error
    except Exception as error:  # the client's own, its HTTP library's, or the disk's
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise UnreachableError(
            f"the {where} could not be fetched ({type(error).__name__}: {first}). Files that have come whole are kept, "
            "and the same command goes on from there."
        ) from error
