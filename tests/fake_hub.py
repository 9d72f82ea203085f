"""A hub of a few repositories in this process: what the real client asks of the real one, and mishaps on demand."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGE = (".parquet", ".safetensors", ".bin")


def digest(path: str, content: bytes) -> str:
    """How the hub names a file: SHA-256 of a large one, git blob SHA-1 of a small one."""
    if path.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """A repository with one commit after an empty first one."""

    repo_id: str
    kind: str
    files: dict[str, bytes]
    gated: bool = False

    @property
    def commit(self) -> str:
        told = sorted((path, digest(path, content)) for path, content in self.files.items())
        return hashlib.sha1(json.dumps([self.repo_id, told]).encode()).hexdigest()

    @property
    def commits(self) -> list[str]:
        return [self.commit, hashlib.sha1(self.repo_id.encode()).hexdigest()]

    def lay_out(self, cache: Path, ref: bool = True) -> Path:
        """Lay the snapshot out in a cache folder as the client does; returns its folder."""
        home = cache / "--".join([f"{self.kind}s", *self.repo_id.split("/")])
        snapshot = home / "snapshots" / self.commit
        for path, content in self.files.items():
            blob = home / "blobs" / digest(path, content)
            blob.parent.mkdir(parents=True, exist_ok=True)
            blob.write_bytes(content)
            link = snapshot / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path(*[".."] * (len(link.relative_to(home).parts) - 1), "blobs", blob.name))
        if ref:
            (home / "refs").mkdir(exist_ok=True)
            (home / "refs" / "main").write_text(self.commit)
        return snapshot


@dataclass
class Hub:
    """What is served, and what has been asked.

    Attributes:
        url: Where.
        repositories: ``OWNER/NAME`` -> repository.
        instead: Path -> content that is served in place of the right one.
        cut: Paths whose next transfer breaks off in the middle.
        asked: Method, path and range of every request for a file.
    """

    url: str
    repositories: dict[str, Repository]
    instead: dict[str, bytes] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    requests: int = 0

    def fetched(self, path: str) -> list[str | None]:
        """The ranges in which a file was asked for."""
        return [span for method, asked, span in self.asked if method == "GET" and asked == path]


@contextmanager
def serve(*repositories: Repository) -> Iterator[Hub]:
    """A hub on a free port, for as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.hub = Hub(f"http://127.0.0.1:{server.server_port}", {each.repo_id: each for each in repositories})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def _answer(self):
        self.server.hub.requests += 1
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if parts[0] == "api":
            kind, owner, name, *rest = parts[1:]
        else:
            kind, *parts = parts if parts[0] == "datasets" else ["models", *parts]
            owner, name, *rest = parts
        repository = self.server.hub.repositories.get(f"{owner}/{name}")
        if repository is None or kind != f"{repository.kind}s":
            self._refuse(404, "RepoNotFound")
        elif repository.gated:
            self._refuse(403, "GatedRepo")
        elif rest and rest[0] == "resolve":
            self._file(repository, rest[1], "/".join(rest[2:]))
        elif (revision := rest[1] if len(rest) > 1 else "main") not in ("main", *repository.commits):
            self._refuse(404, "RevisionNotFound")
        elif rest and rest[0] == "commits":
            facts = {"authors": [{"user": "somebody"}], "date": "2026-03-01T00:00:00.000Z", "title": "", "message": ""}
            self._json([{"id": commit, **facts} for commit in repository.commits])
        elif rest and rest[0] == "tree":
            self._json([self._entry(path, content) for path, content in repository.files.items()])
        else:
            sha = repository.commit if revision == "main" else revision
            told = {"id": repository.repo_id, "sha": sha, "private": False, "tags": [], "downloads": 0, "likes": 0}
            self._json({**told, "siblings": [self._sibling(*file) for file in repository.files.items()]})

    @staticmethod
    def _entry(path, content):
        told = {"type": "file", "oid": digest("", content), "size": len(content), "path": path}
        large = {"oid": digest(path, content), "size": len(content), "pointerSize": 134}
        return {**told, "lfs": large} if path.endswith(LARGE) else told

    @staticmethod
    def _sibling(path, content):
        told = {"rfilename": path, "size": len(content), "blobId": digest("", content)}
        large = {"sha256": digest(path, content), "size": len(content), "pointerSize": 134}
        return {**told, "lfs": large} if path.endswith(LARGE) else told

    def _file(self, repository, revision, path):
        hub, span = self.server.hub, self.headers.get("Range")
        hub.asked.append((self.command, path, span))
        if path not in repository.files or revision not in ("main", *repository.commits):
            return self._refuse(404, "EntryNotFound")
        content = hub.instead.get(path, repository.files[path])
        start = int(span.removeprefix("bytes=").partition("-")[0]) if span else 0
        self.send_response(206 if span else 200)
        named = digest(path, repository.files[path])
        if path.endswith(LARGE):
            self.send_header("X-Linked-Etag", f'"{named}"')
            self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("ETag", f'"{named}"')
        self.send_header("X-Repo-Commit", repository.commit)
        self.send_header("Accept-Ranges", "bytes")
        if span:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "HEAD":
            return None
        if path in hub.cut:
            hub.cut.discard(path)
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return None
        self.wfile.write(content[start:])
        return None

    def _json(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()
