"""How the Hub speaks HTTP: the request handlers of `server.HubServer`. It holds no state of its own.

`uploads` has what it answers to those who write, `listing` to those who search.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from .listing import found
from .uploads import Uploads, git_id, store

if TYPE_CHECKING:
    from .server import HubServer, Repository

_INFO = re.compile(r"/api/models/(?P<repo>[^/]+(?:/[^/]+)?)(?:/revision/(?P<revision>[^/]+))?")
_TREE = re.compile(r"/api/models/(?P<repo>[^/]+(?:/[^/]+)?)/tree/(?P<revision>[^/]+)")
_FILE = re.compile(r"/(?P<repo>[^/]+(?:/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<name>.+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request that the server received, and the status it answered (0: it cut the connection instead)."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    status: int
    origin: str  # "hub" or "cdn"


@dataclass(slots=True)
class Fault:
    """What to do instead of answering well. `times` counts down; None means for ever."""

    method: str
    pattern: str
    times: int | None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after_bytes: int | None = None
    reset: bool = False
    stall_s: float = 0.0
    slow_s: float = 0.0


class _Handler(BaseHTTPRequestHandler):
    """What the Hub and its CDN have in common: faults, records, bodies."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement
    origin = ""
    fault: Fault | None = None
    body: bytes = b""

    @property
    def hub(self) -> HubServer:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def setup(self) -> None:
        super().setup()
        self.hub.connections.append(self.connection)

    def do_GET(self) -> None:
        self.body = self._read()
        self.fault = self.hub.take_fault(self.command, self.path)
        if self.fault is not None and self.fault.stall_s:
            self.hub.closing.wait(self.fault.stall_s)
            return self._cut()
        if self.fault is not None and self.fault.status is not None:
            headers = dict(self.fault.headers)
            return self.reply(self.fault.status, b'{"error": "scripted"}', headers)
        return self.answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - the names are http.server's

    def _read(self) -> bytes:
        """What the client sends, in one piece or in chunks."""
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        pieces = []
        while count := int(self.rfile.readline().strip() or b"0", 16):
            pieces.append(self.rfile.read(count))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def answer(self) -> None:
        raise NotImplementedError

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send a whole response, or as much of it as the fault of this request allows."""
        cut_after = None if self.fault is None else self.fault.cut_after_bytes
        self._record(0 if cut_after == 0 else status)
        if cut_after == 0:
            return self._cut()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return None
        limit = len(body) if cut_after is None else min(cut_after, len(body))
        pause_s = 0.0 if self.fault is None else self.fault.slow_s * _CHUNK_BYTES / max(limit, 1)
        for start in range(0, limit, _CHUNK_BYTES):
            self.wfile.write(body[start : min(start + _CHUNK_BYTES, limit)])
            if pause_s:
                self.hub.closing.wait(pause_s)
        return None if cut_after is None else self._cut()

    def _cut(self) -> None:
        """Close the connection: an orderly end of stream, or a reset."""
        self.close_connection = True
        self.wfile.flush()
        if self.fault is not None and self.fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def _record(self, status: int) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.record(Exchange(self.command, self.path, headers, status, self.origin))

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):  # the client left, or the connection was reset above
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing: the tests look at `HubServer.exchanges`."""


class HubHandler(_Handler, Uploads):
    """The Hub itself: API and `resolve`."""

    origin = "hub"

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.command == "POST":
            if self.hub.prepare(self.path):
                self.fault = Fault("POST", "*", None, cut_after_bytes=0)
            return self.answer_post()
        if path == "/api/models":
            return self._list()
        raw = urlsplit(self.path).path  # a revision such as refs%2Fpr%2F1 is one segment of this one
        for pattern, action in ((_TREE, self._tree), (_INFO, self._info), (_FILE, self._file)):
            if match := pattern.fullmatch(raw):
                return action(**{k: unquote(v or "main") for k, v in match.groupdict().items()})
        return self.reply(404, f"no such route: {path}".encode())

    def _list(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        models = found(self.hub, query, token)
        start, count = int(query.get("cursor", ["0"])[0]), min(int(query.get("limit", ["1000"])[0]), self.hub.page_size)
        headers = {}
        if models[start + count :]:
            headers["Link"] = f'<{self.hub.url}{self.path.partition("&cursor=")[0]}&cursor={start + count}>; rel="next"'
        return self.json_reply(models[start : start + count], headers)

    def _info(self, repo: str, revision: str) -> None:
        found = self._open(repo, revision)
        if found is None:
            return None
        repository, commit = found
        info = {
            "_id": "0" * 24,
            "id": repo,
            "modelId": repo,
            "sha": commit,
            "private": repository.private,
            "gated": "auto" if repository.gated else False,
            "disabled": False,
            "downloads": repository.downloads,
            "likes": 0,
            "tags": list(repository.tags),
            "siblings": [_sibling(repository, name, data) for name, data in sorted(repository.commits[commit].items())],
        }
        return self.json_reply(info)

    def _tree(self, repo: str, revision: str) -> None:
        found = self._open(repo, revision)
        if found is None:
            return None
        repository, commit = found
        files = repository.commits[commit]
        folders = {name.rsplit("/", 1)[0] for name in files if "/" in name}
        entries: list[dict[str, object]] = [
            {"type": "directory", "oid": "0" * 40, "size": 0, "path": name} for name in sorted(folders)
        ]
        entries += [_entry(repository, name, data) for name, data in sorted(files.items())]
        start = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
        page, rest = entries[start:][: self.hub.page_size], entries[start + self.hub.page_size :]
        headers = {}
        if rest:
            here = f"{self.hub.url}{urlsplit(self.path).path}?recursive=True"
            headers["Link"] = f'<{here}&cursor={start + len(page)}>; rel="next"'
        return self.json_reply(page, headers)

    def _file(self, repo: str, revision: str, name: str) -> None:
        found = self._open(repo, revision, content=True)
        if found is None:
            return None
        repository, commit = found
        data = repository.commits[commit].get(name)
        if data is None:
            return self.refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if not repository.is_large(name):
            headers |= {"ETag": f'"{git_id(data)}"', "Content-Length": str(len(data))}
            return self.reply(200, data, headers | repository.forged.get(name, {}))
        headers["X-Linked-Etag"] = f'"{hashlib.sha256(data).hexdigest()}"'
        headers["X-Linked-Size"] = str(len(data))
        place = "/".join(quote(part, safe="") for part in (repo, commit, name))
        headers["Location"] = f"{self.hub.cdn_url}/{place}?signature=x"
        return self.reply(302, b"", headers | repository.forged.get(name, {}))

    def _open(self, repo: str, revision: str, *, content: bool = False) -> tuple[Repository, str] | None:
        """The repository and commit asked for; None after a refusal was sent."""
        if repo in self.hub.renamed:
            self.reply(307, b"", {"Location": self.path.replace(repo, self.hub.renamed[repo], 1)})
            return None
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if token is not None and token not in self.hub.grants:
            self.refuse(401, None, "Invalid credentials in Authorization header")
            return None
        repository = self.hub.repositories.get(repo)
        granted = token is not None and repo in self.hub.grants[token]
        if repository is None or (repository.private and not granted):
            # The Hub does not say which of the two it is, and asks strangers for a token first.
            self.refuse(401 if token is None else 404, "RepoNotFound", "Repository not found")
            return None
        if content and repository.gated and not granted:
            self.refuse(401 if token is None else 403, "GatedRepo", "Access to this model is restricted")
            return None
        commit = repository.commit_of(revision)
        if commit is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return repository, commit

    def refuse(self, status: int, code: str | None, says: str, headers: dict[str, str] | None = None) -> None:
        headers = {"X-Error-Message": says, **(headers or {})}
        if code is not None:
            headers["X-Error-Code"] = code
        self.json_reply({"error": says}, headers, status)

    def json_reply(self, value: object, headers: dict[str, str] | None = None, status: int = 200) -> None:
        headers = {"Content-Type": "application/json", **(headers or {})}
        self.reply(status, json.dumps(value).encode(), headers)


class CdnHandler(_Handler):
    """Where `resolve` redirects for large files: another origin, which needs a signature and wants no token."""

    origin = "cdn"

    def answer(self) -> None:
        url = urlsplit(self.path)
        if self.command == "PUT":
            status, answer = store(self.hub, self.path, self.body)
            return self.reply(status, b"", answer)
        repo, commit, name = (unquote(part) for part in url.path.lstrip("/").split("/"))
        repository = self.hub.repositories.get(repo)
        data = None if repository is None else repository.commits.get(commit, {}).get(name)
        if data is None or url.query != "signature=x":
            return self.reply(403, b"")
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "Accept-Ranges": "bytes"}
        data = repository.lies.get(name, data) if repository is not None else data
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        if wanted is None:
            return self.reply(200, data, headers)
        start, end = int(wanted[1]), int(wanted[2] or len(data) - 1)
        if start >= len(data):
            return self.reply(416, b"", headers | {"Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        return self.reply(206, data[start : end + 1], headers)


def _entry(repository: Repository, name: str, data: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "size": len(data), "path": name}
    if not repository.is_large(name):
        return entry | {"oid": git_id(data)}
    digest = hashlib.sha256(data).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(data)}\n".encode()
    lfs = {"oid": digest, "size": len(data), "pointerSize": len(pointer)}
    return entry | {"oid": git_id(pointer), "lfs": lfs}


def _sibling(repository: Repository, name: str, data: bytes) -> dict[str, object]:
    entry = _entry(repository, name, data)
    return {"rfilename": name, "size": entry["size"], "blobId": entry["oid"]} | (
        {"lfs": {"size": len(data), "sha256": entry["lfs"]["oid"], "pointerSize": 0}}  # type: ignore[index]
        if "lfs" in entry
        else {}
    )
