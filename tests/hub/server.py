"""A small Hub on loopback: real HTTP, the Hub's protocol, repositories held in memory, faults on request.

    with HubServer() as hub:
        commit = hub.add("org/model", {"config.json": b"{}", "model.safetensors": weights})
        hub.fault("GET", "*/model.safetensors", times=1, cut_after_bytes=1000)
        ...  # HF_ENDPOINT=hub.url
        hub.downloads()  # names of the files whose bodies were sent, in order

It answers what huggingface_hub asks for models: repository info, the file tree in pages, HEAD and GET of `resolve`
with ETag and X-Repo-Commit, large files by a redirect to another origin (as the Hub redirects to its CDN) with Range
requests, bearer tokens, X-Error-Code, and redirects of renamed repositories; and for those who write: new repositories,
preupload, large files in one piece or in parts by git-lfs' protocol, commits on a parent, pull requests; and the search
for models. No Xet, no datasets, no TLS.
It knows nothing of huggingface_hub: what it says is what the Hub says, and it can also lie (`forge`).
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .protocol import CdnHandler, Exchange, Fault, HubHandler

LARGE = ("*.safetensors", "*.bin", "*.onnx", "*.onnx_data", "*.h5", "*.msgpack")


@dataclass(slots=True)
class Repository:
    """Branches and tags by name -> commit; commit -> files by name."""

    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: bool = False
    gated: bool = False
    large: tuple[str, ...] = LARGE
    forged: dict[str, dict[str, str]] = field(default_factory=dict)
    lies: dict[str, bytes] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    task: str = ""
    library: str = ""
    tags: tuple[str, ...] = ()
    downloads: int = 0

    def commit_of(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.refs.get(revision)

    def is_large(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.large)


class HubServer:
    """The server: start it with `with`; `url` is what HF_ENDPOINT has to hold."""

    def __init__(self, *, page_size: int = 1000) -> None:
        self.page_size = page_size
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        self.grants: dict[str, set[str]] = {}
        self.writers: dict[str, set[str]] = {}
        self.stored: dict[str, bytes] = {}  # large files by SHA-256
        self.parts: dict[str, dict[int, bytes]] = {}
        self.part_bytes: int | None = None  # larger files are taken in parts
        self.exchanges: list[Exchange] = []
        self.closing = threading.Event()
        self.connections: list[socket.socket] = []
        self._faults: list[Fault] = []
        self._lost: list[list[Any]] = []
        self._before: list[tuple[str, Callable[[], object]]] = []
        self._lock = threading.Lock()
        self._hub = _listen(HubHandler, self)
        self._cdn = _listen(CdnHandler, self)
        self.url = f"http://127.0.0.1:{self._hub.server_address[1]}"
        self.cdn_url = f"http://localhost:{self._cdn.server_address[1]}"

    # What the Hub holds.

    def add(
        self,
        repo_id: str,
        files: Mapping[str, bytes | str],
        *,
        revision: str = "main",
        commit: str | None = None,
        private: bool = False,
        gated: bool = False,
    ) -> str:
        """Commit `files` as the new state of a branch or tag; returns the commit (40 hexadecimal digits)."""
        contents = {name: data.encode() if isinstance(data, str) else data for name, data in files.items()}
        if commit is None:
            digest = hashlib.sha1(repo_id.encode(), usedforsecurity=False)
            for name, data in sorted(contents.items()):
                digest.update(f"\0{name}\0{len(data)}\0".encode() + data)
            commit = digest.hexdigest()
        repository = self.repositories.setdefault(repo_id, Repository())
        repository.private, repository.gated = private, gated
        repository.commits[commit] = contents
        repository.refs[revision] = commit
        return commit

    def add_folder(self, repo_id: str, folder: Path, *, revision: str = "main") -> str:
        """Commit all files below a folder; returns the commit."""
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        return self.add(repo_id, files, revision=revision)

    def rename(self, old: str, new: str) -> None:
        """Move a repository; the old name redirects to the new one."""
        self.repositories[new] = self.repositories.pop(old)
        self.renamed[old] = new

    def grant(self, token: str, *repo_ids: str) -> None:
        """Make `token` a valid one, which may read these private or gated repositories."""
        self.grants.setdefault(token, set()).update(repo_ids)

    def grant_write(self, token: str, *repo_ids: str) -> None:
        """Make `token` a valid one, which may create these repositories and write to them."""
        self.grant(token, *repo_ids)
        self.writers.setdefault(token, set()).update(repo_ids)

    def commit(self, repo_id: str, files: Mapping[str, bytes], revision: str, message: str) -> str:
        """A commit that somebody uploaded."""
        repository = self.repositories[repo_id]
        seed = f"{repo_id}\0{revision}\0{len(repository.commits)}\0{message}"
        commit = hashlib.sha1(seed.encode(), usedforsecurity=False).hexdigest()
        repository.commits[commit] = dict(files)
        repository.refs[revision] = commit
        repository.messages[commit] = message
        return commit

    def uploads(self) -> list[str]:
        """The paths of the requests that sent large files."""
        return [exchange.path for exchange in self.exchanges if exchange.method == "PUT"]

    # What goes wrong.

    def fault(
        self,
        method: str,
        pattern: str,
        *,
        times: int | None = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        cut_after_bytes: int | None = None,
        reset: bool = False,
        stall_s: float = 0.0,
        slow_s: float = 0.0,
    ) -> None:
        """Answer requests whose path matches the glob badly.

        Give one of: `status` (with `headers`); `cut_after_bytes` (close the connection after so many bytes of the
        body, or reset it); `stall_s` (say nothing for so long); `slow_s` (take so long to send the body).
        """
        self._faults.append(
            Fault(method, pattern, times, status, headers or {}, cut_after_bytes, reset, stall_s, slow_s)
        )

    def forge(self, repo_id: str, name: str, **headers: str) -> None:
        """Lie in the headers of one file: `forge("org/model", "config.json", ETag="../../evil")`."""
        forged = {key.replace("_", "-"): value for key, value in headers.items()}
        self.repositories[repo_id].forged[name] = forged

    def lose(self, pattern: str, *, times: int) -> None:
        """Do what POST requests to these paths want, and cut the connection instead of answering."""
        self._lost.append([pattern, times])

    def before(self, pattern: str, action: Callable[[], object]) -> None:
        """Do something once before a POST request to such a path is answered: somebody else is faster."""
        self._before.append((pattern, action))

    def lie(self, repo_id: str, name: str, content: bytes) -> None:
        """Send other bytes than those of the file, under the hash of the file."""
        self.repositories[repo_id].lies[name] = content

    def heal(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    # What happened.

    def requests(self, method: str = "*", pattern: str = "*") -> list[Exchange]:
        """The requests so far, oldest first, without the library's own telemetry."""
        return [
            exchange
            for exchange in self.exchanges
            if fnmatchcase(exchange.method, method)
            and fnmatchcase(exchange.path, pattern)
            and not exchange.path.startswith("/api/agent-harnesses")
        ]

    def downloads(self) -> list[str]:
        """The paths of the requests that sent a body of a file, whole or in part."""
        sent = (exchange for exchange in self.exchanges if exchange.method == "GET")
        return [
            exchange.path
            for exchange in sent
            if exchange.status in (200, 206) and (exchange.origin == "cdn" or "/resolve/" in exchange.path)
        ]

    # For the handlers.

    def record(self, exchange: Exchange) -> None:
        with self._lock:
            self.exchanges.append(exchange)

    def prepare(self, path: str) -> bool:
        """Do what was to be done before a POST request; whether its answer gets lost."""
        with self._lock:
            actions = [entry for entry in self._before if fnmatchcase(path, entry[0])]
            self._before = [entry for entry in self._before if entry not in actions]
            lost = next((entry for entry in self._lost if entry[1] and fnmatchcase(path, entry[0])), None)
            if lost is not None:
                lost[1] -= 1
        for _, action in actions:
            action()
        return lost is not None

    def take_fault(self, method: str, path: str) -> Fault | None:
        """The first fault that matches, counted down."""
        with self._lock:
            for fault in self._faults:
                if not fnmatchcase(method, fault.method) or not fnmatchcase(path, fault.pattern):
                    continue
                if fault.times == 0:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def __enter__(self) -> Self:
        for server in (self._hub, self._cdn):
            threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        for server in (self._hub, self._cdn):
            server.shutdown()
            server.server_close()
        for connection in self.connections:  # a client that keeps idle connections sees that these have ended
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    hub: HubServer


def _listen(handler: type[HubHandler] | type[CdnHandler], hub: HubServer) -> _Listener:
    server = _Listener(("127.0.0.1", 0), handler)
    server.hub = hub
    return server
