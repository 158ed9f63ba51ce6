"""What the Hub answers to those who write: repositories, large files, commits, pull requests. `protocol` uses it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

if TYPE_CHECKING:
    from .server import HubServer, Repository

_REPO = r"(?P<repo>[^/]+(?:/[^/]+)?)"
_PREUPLOAD = re.compile(rf"/api/models/{_REPO}/preupload/(?P<revision>[^/]+)")
_COMMIT = re.compile(rf"/api/models/{_REPO}/commit/(?P<revision>[^/]+)")
_BATCH = re.compile(rf"/{_REPO}\.git/info/lfs/objects/batch")
_DONE = re.compile(r"/lfs/(?P<oid>[0-9a-f]{64})/(?P<step>complete|verify)")
_STORE = re.compile(r"/lfs/(?P<oid>[0-9a-f]{64})(?:/(?P<part>\d+))?")


def git_id(data: bytes) -> str:
    """The id git gives a file: SHA-1 of a header and the content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class Uploads:
    """Answers to POST, for a handler that has `hub`, `headers`, `body`, `path`, `json_reply`, `refuse`, `reply`."""

    hub: HubServer
    headers: Any
    path: str
    body: bytes

    def json_reply(self, value: object, headers: dict[str, str] | None = None, status: int = 200) -> None:
        raise NotImplementedError

    def refuse(self, status: int, code: str | None, says: str, headers: dict[str, str] | None = None) -> None:
        raise NotImplementedError

    def answer_post(self) -> None:
        raw = urlsplit(self.path).path
        if raw == "/api/repos/create":
            return self._create(json.loads(self.body))
        if raw == "/api/validate-yaml":
            return self._validate(json.loads(self.body)["content"])
        for pattern, action in ((_PREUPLOAD, self._preupload), (_COMMIT, self._commit), (_BATCH, self._batch)):
            if match := pattern.fullmatch(raw):
                return action(**{key: unquote(value) for key, value in match.groupdict().items()})  # type: ignore[operator]
        if match := _DONE.fullmatch(raw):
            return self._done(match["oid"], match["step"])
        return self.refuse(404, None, f"no such route: {raw}")

    def _may_write(self, repo: str, *, contribute: bool = False) -> Repository | None:
        """The repository, if the token may write to it, or, with `contribute`, read it; None after a refusal."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if token is None or token not in self.hub.grants:
            self.refuse(401, None, "Invalid username or password.")
            return None
        repository = self.hub.repositories.get(repo)
        reads = repository is not None and (not repository.private or repo in self.hub.grants[token])
        if repository is None or not (reads or repo in self.hub.writers.get(token, ())):
            self.refuse(404, "RepoNotFound", "Repository not found")
            return None
        if not contribute and repo not in self.hub.writers.get(token, ()):
            self.refuse(403, None, f"You do not have write access to {repo}")
            return None
        return repository

    def _create(self, asked: dict[str, Any]) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if token is None or token not in self.hub.grants:
            return self.refuse(401, None, "Invalid username or password.")
        repo = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else f"me/{asked['name']}"
        url = {"url": f"{self.hub.url}/{repo}", "name": repo}
        if repo in self.hub.repositories:
            return self.json_reply(url | {"error": "You already created this model repo"}, status=409)
        if repo not in self.hub.writers.get(token, ()):
            return self.refuse(403, None, f"You don't have the rights to create a model under the namespace of {repo}")
        self.hub.add(repo, {".gitattributes": b"*.onnx filter=lfs\n"}, private=asked.get("visibility") == "private")
        self.hub.grant(token, repo)
        return self.json_reply(url)

    def _validate(self, content: str) -> None:
        """As the Hub: a front matter that is no YAML, or has no such licence, is an error."""
        errors = []
        if content.startswith("---\n"):
            try:
                fields = yaml.safe_load(content[4:].partition("\n---")[0])
            except yaml.YAMLError as error:
                errors.append(f"not YAML: {error}")
            else:
                if not isinstance(fields, dict):
                    errors.append("metadata is no object")
                elif isinstance(fields.get("license"), str) and " " in fields["license"]:
                    errors.append('"license" must be one of [apache-2.0, mit, ...]')
        answer = {"errors": [{"message": error} for error in errors], "warnings": []}
        self.json_reply(answer, status=400 if errors else 200)

    def _preupload(self, repo: str, revision: str) -> None:
        repository = self._may_write(repo, contribute=self._creates_pr())
        if repository is None:
            return None
        commit = repository.commit_of(revision)
        if commit is None:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        there = repository.commits[commit]
        files = []
        for file in json.loads(self.body)["files"]:
            name = file["path"]
            mode = "lfs" if repository.is_large(name) or file["size"] > 10 << 20 else "regular"
            oid = None
            if name in there:
                oid = hashlib.sha256(there[name]).hexdigest() if mode == "lfs" else git_id(there[name])
            files.append({"path": name, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return self.json_reply({"files": files})

    def _creates_pr(self) -> bool:
        return parse_qs(urlsplit(self.path).query).get("create_pr") == ["1"]

    def _batch(self, repo: str) -> None:
        if self._may_write(repo, contribute=True) is None:
            return None
        objects = []
        for asked in json.loads(self.body)["objects"]:
            oid, size = asked["oid"], asked["size"]
            entry: dict[str, Any] = {"oid": oid, "size": size}
            if oid not in self.hub.stored:
                entry["actions"] = {
                    "upload": self._upload(oid, size),
                    "verify": {"href": f"{self.hub.url}/lfs/{oid}/verify"},
                }
            objects.append(entry)
        return self.json_reply({"transfer": "basic", "objects": objects})

    def _upload(self, oid: str, size: int) -> dict[str, Any]:
        part = self.hub.part_bytes
        if part is None or size <= part:
            return {"href": f"{self.hub.cdn_url}/lfs/{oid}", "header": {}}
        count = -(-size // part)
        parts = {str(number): f"{self.hub.cdn_url}/lfs/{oid}/{number}" for number in range(1, count + 1)}
        return {"href": f"{self.hub.url}/lfs/{oid}/complete", "header": {"chunk_size": str(part), **parts}}

    def _done(self, oid: str, step: str) -> None:
        if step == "complete":
            parts = self.hub.parts.pop(oid, {})
            data = b"".join(parts[number] for number in sorted(parts))
            if hashlib.sha256(data).hexdigest() != oid:
                return self.refuse(400, None, "the parts do not make the object")
            self.hub.stored[oid] = data
        elif oid not in self.hub.stored:
            return self.refuse(404, None, "Object not found")
        return self.json_reply({})

    def _commit(self, repo: str, revision: str) -> None:
        create_pr = self._creates_pr()
        repository = self._may_write(repo, contribute=create_pr)
        if repository is None:
            return None
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        parent = repository.commit_of(revision)
        if parent is None:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if header.get("parentCommit") not in (None, parent) and not create_pr:
            return self.refuse(412, None, "A commit has happened since. Please refresh and try again.")
        files = dict(repository.commits[parent])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.stored:
                    return self.refuse(400, None, f"LFS pointer pointed to a file that does not exist: {value['path']}")
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif line["key"] == "deletedFile":
                if value["path"] not in files:
                    return self.refuse(404, "EntryNotFound", "A file with this name doesn't exist")
                del files[value["path"]]
        number = sum(ref.startswith("refs/pr/") for ref in repository.refs) + 1
        target = f"refs/pr/{number}" if create_pr else revision
        commit = self.hub.commit(repo, files, target, header["summary"])
        answer = {"success": True, "commitOid": commit, "commitUrl": f"{self.hub.url}/{repo}/commit/{commit}"}
        if create_pr:
            answer["pullRequestUrl"] = f"{self.hub.url}/{repo}/discussions/{number}"
        return self.json_reply(answer)


def store(hub: HubServer, path: str, body: bytes) -> tuple[int, dict[str, str]]:
    """Take a large file, or a part of one; the status and the headers of the answer."""
    match = _STORE.fullmatch(urlsplit(path).path)
    if match is None:
        return 404, {}
    oid, part = match["oid"], match["part"]
    if part is not None:
        hub.parts.setdefault(oid, {})[int(part)] = body
    elif hashlib.sha256(body).hexdigest() != oid:
        return 400, {}
    else:
        hub.stored[oid] = body
    return 200, {"ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'}
