"""Fetching from a Hub on loopback when all is well: revisions, patterns, the cache, tokens, offline use."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onnxpress.errors import HubError
from onnxpress.hub import Snapshot, blob_roots, fetch, list_files, looks_like_repo_id

from .server import HubServer

CONFIG = b'{"model_type": "bert"}'
WEIGHTS = bytes(range(256)) * 400
FILES = {"config.json": CONFIG, "README.md": b"# A model", "onnx/model.onnx": WEIGHTS, "onnx/model_int8.onnx": b"8"}


def content(snapshot: Snapshot) -> dict[str, bytes]:
    paths = (path for path in snapshot.folder.rglob("*") if path.is_file())
    return {path.relative_to(snapshot.folder).as_posix(): path.read_bytes() for path in paths}


def set_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


# What is fetched.


def test_fetch_brings_the_files_that_match(hub: HubServer) -> None:
    commit = hub.add("org/model", FILES)
    snapshot = fetch("org/model", None, ["*.json", "onnx/*"], ignore=["*_int8.onnx"])
    assert (snapshot.repo_id, snapshot.revision, snapshot.commit) == ("org/model", "main", commit)
    assert content(snapshot) == {"config.json": CONFIG, "onnx/model.onnx": WEIGHTS}
    assert not [path for path in hub.downloads() if "int8" in path or "README" in path]


def test_a_name_without_an_organization(hub: HubServer) -> None:
    hub.add("gpt2", FILES)
    assert content(fetch("gpt2", None, ["*"])) == FILES


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/1", "branch"])
def test_branches_and_tags(hub: HubServer, revision: str) -> None:
    hub.add("org/model", {"config.json": b"new"})
    commit = hub.add("org/model", {"config.json": b"old"}, revision=revision)
    snapshot = fetch("org/model", revision, ["*"])
    assert (snapshot.revision, snapshot.commit, content(snapshot)) == (revision, commit, {"config.json": b"old"})
    assert snapshot.folder == fetch("org/model", commit, ["*"]).folder


def test_a_branch_that_moves_is_followed_and_its_old_commit_stays(hub: HubServer) -> None:
    old = hub.add("org/model", {"config.json": b"old"})
    before = fetch("org/model", None, ["*"])
    hub.add("org/model", {"config.json": b"new"})
    assert content(fetch("org/model", None, ["*"])) == {"config.json": b"new"}
    assert content(before) == content(fetch("org/model", old, ["*"])) == {"config.json": b"old"}


def test_a_renamed_repository_redirects(hub: HubServer) -> None:
    hub.add("org/old", FILES)
    hub.rename("org/old", "org/new")
    assert content(fetch("org/old", None, ["*"])) == FILES


def test_long_trees_come_in_pages(hub: HubServer) -> None:
    hub.page_size = 7
    files = {f"part/{number:03}.json": b"%d" % number for number in range(40)}
    hub.add("org/model", files)
    assert content(fetch("org/model", None, ["*"])) == files
    assert len(hub.requests("GET", "*/tree/*")) == 6


def test_list_files(hub: HubServer) -> None:
    hub.add("org/model", FILES)
    hub.add("org/model", {"a.json": b""}, revision="v2")
    assert list_files("org/model", None) == tuple(sorted(FILES))
    assert list_files("org/model", "v2") == ("a.json",)
    assert hub.downloads() == []


def test_nothing_matches(hub: HubServer) -> None:
    hub.add("org/model", FILES)
    with pytest.raises(HubError, match=r"no file that matches onnxpress\.json; it has README\.md, config\.json"):
        fetch("org/model", None, ["onnxpress.json"])


# The cache.


def test_the_second_fetch_downloads_nothing(hub: HubServer) -> None:
    commit = hub.add("org/model", FILES)
    first = fetch("org/model", None, ["*"])
    count = len(hub.requests())
    assert fetch("org/model", None, ["*"]) == first
    assert [exchange.path for exchange in hub.requests()[count:]] == ["/api/models/org/model/revision/main"]
    assert fetch("org/model", commit, ["*.json"]).folder == first.folder
    assert len(hub.requests()) == count + 1  # a commit that is cached needs no request at all


def test_a_wider_fetch_downloads_only_what_is_new(hub: HubServer) -> None:
    hub.add("org/model", FILES)
    fetch("org/model", None, ["*.json"])
    before = hub.downloads()
    assert content(fetch("org/model", None, ["*"])) == FILES
    assert not [path for path in hub.downloads()[len(before) :] if "config.json" in path]


def test_unchanged_files_of_a_new_commit_are_not_sent_again(hub: HubServer) -> None:
    hub.add("org/model", FILES)
    fetch("org/model", None, ["*"])
    before = hub.downloads()
    hub.add("org/model", {**FILES, "config.json": b"changed"})
    assert content(fetch("org/model", None, ["*"]))["onnx/model.onnx"] == WEIGHTS
    assert [path.rsplit("/", 1)[1] for path in hub.downloads()[len(before) :]] == ["config.json"]


def test_blob_roots(hub: HubServer, tmp_path: Path) -> None:
    hub.add("org/model", FILES)
    folder = fetch("org/model", None, ["*"]).folder
    root = blob_roots(folder)[0]
    assert root == tmp_path / "hf/hub/models--org--model/blobs"
    assert all(path.resolve().parent == root for path in folder.rglob("*") if path.is_file())
    assert blob_roots(folder) == (root, tmp_path / "hf/hub/blobs")
    for other in (folder.parent, folder / "onnx", tmp_path, tmp_path / "models--a--b" / "snapshots" / ("0" * 40)):
        assert blob_roots(other) == ()


# Tokens.


def test_a_private_repository_with_the_right_token(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/secret", FILES, private=True)
    hub.grant("hf_right", "org/secret")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert content(fetch("org/secret", None, ["*"])) == FILES
    assert {exchange.headers.get("authorization") for exchange in hub.requests() if exchange.origin == "hub"} == {
        "Bearer hf_right"
    }


def test_the_token_of_hf_auth_login(hub: HubServer, tmp_path: Path) -> None:
    hub.add("org/secret", FILES, private=True)
    hub.grant("hf_right", "org/secret")
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_right\n")
    assert content(fetch("org/secret", None, ["*"])) == FILES


def test_the_token_does_not_follow_the_redirect_to_the_cdn(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/model", FILES)
    hub.grant("hf_right")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    fetch("org/model", None, ["*"])
    from_cdn = [exchange for exchange in hub.requests() if exchange.origin == "cdn"]
    assert len(from_cdn) == 2
    assert all("authorization" not in exchange.headers for exchange in from_cdn)


def test_a_gated_repository_after_access_was_granted(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/gated", FILES, gated=True)
    hub.grant("hf_right", "org/gated")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert content(fetch("org/gated", None, ["*"])) == FILES


# Offline.


@pytest.mark.parametrize("revision", [None, "v1.0", "refs/pr/1"])
def test_offline_from_the_cache(hub: HubServer, monkeypatch: pytest.MonkeyPatch, revision: str | None) -> None:
    commit = hub.add("org/model", FILES, revision=revision or "main")
    online = fetch("org/model", revision, ["*.json", "*.onnx"])
    count = len(hub.requests())
    set_offline(monkeypatch)
    assert fetch("org/model", revision, ["*.json", "*.onnx"]) == online
    assert fetch("org/model", commit, ["*.json"]).folder == online.folder
    assert list_files("org/model", revision) == ("config.json", "onnx/model.onnx", "onnx/model_int8.onnx")
    assert list_files("org/model", commit) == ("config.json", "onnx/model.onnx", "onnx/model_int8.onnx")
    assert len(hub.requests()) == count


@pytest.mark.parametrize(("repo_id", "revision"), [("org/model", "v2"), ("org/other", None), ("org/model", "0" * 40)])
def test_offline_and_not_cached(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, repo_id: str, revision: str | None
) -> None:
    hub.add("org/model", FILES)
    fetch("org/model", None, ["*"])
    set_offline(monkeypatch)
    for call in (lambda: fetch(repo_id, revision, ["*"]), lambda: list_files(repo_id, revision)):
        with pytest.raises(HubError, match=r"HF_HUB_OFFLINE is set.*does not hold all of org/.*Unset HF_HUB_OFFLINE"):
            call()


@pytest.mark.parametrize("by_commit", [False, True])
def test_offline_and_only_partly_cached(hub: HubServer, monkeypatch: pytest.MonkeyPatch, by_commit: bool) -> None:
    commit = hub.add("org/model", FILES)
    fetch("org/model", None, ["*.json"])
    set_offline(monkeypatch)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        fetch("org/model", commit if by_commit else None, ["*.json", "*.onnx"])


# Names.

CHARACTERS = st.text(alphabet="aZ0_-./é \n", max_size=12)


@given(st.one_of(CHARACTERS, st.text(max_size=12), st.text(alphabet="ab-.", min_size=90, max_size=100)))
@example("bert-base-uncased")
@example("org/model")
@example("a" * 97)
@example("org/model.git")
@example("org/model\n")
@example("./model")
@example("/models/bert")
@example("a--b")
@example("a..b")
@example("a/b/c")
def test_looks_like_repo_id_agrees_with_the_library(name: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        assert not looks_like_repo_id(name)
    else:
        assert looks_like_repo_id(name)


@pytest.mark.parametrize("name", ["", "a/b/c", "../x", "/etc/passwd", "C:\\models", "org/model?x=1"])
def test_what_is_no_repository_name_is_refused_before_the_network(hub: HubServer, name: str) -> None:
    with pytest.raises(HubError, match="not the name of a repository"):
        fetch(name, None, ["*"])
    assert hub.requests() == []


@pytest.mark.parametrize("revision", ["", "../../evil", "/etc/cron.d/evil", "a\\..\\b", "line\nbreak", "a/../b"])
def test_what_is_no_revision_is_refused_before_the_network(hub: HubServer, revision: str) -> None:
    with pytest.raises(HubError, match="is not a revision"):
        fetch("org/model", revision, ["*"])
    assert hub.requests() == []
