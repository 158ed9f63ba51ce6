"""Fetching from a Hub on loopback when it refuses, stumbles, stalls, breaks off or lies."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxpress.errors import HubError
from onnxpress.hub import fetch, list_files

from .server import HubServer
from .test_hub import CONFIG, FILES, WEIGHTS, content

INFO = "/api/models/org/model/revision/*"
TREE = "/api/models/org/model/tree/*"
LOGIN = r"set HF_TOKEN or run `hf auth login`"


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library writes, and so can resume, in steps of 10 MiB; here of 1000 bytes."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)


# Refusals: no retries, a message that tells what to do.


def refused(hub: HubServer, match: str, repo_id: str = "org/model", revision: str | None = None) -> None:
    before = len(hub.requests("GET", "/api/models/*"))
    with pytest.raises(HubError, match=match) as caught:
        fetch(repo_id, revision, ["*"])
    assert repo_id in str(caught.value)
    assert len(hub.requests("GET", "/api/models/*")) <= before + 2


@pytest.mark.parametrize("repo_id", ["org/secret", "org/nowhere"])
def test_without_a_token_private_and_missing_look_the_same(hub: HubServer, repo_id: str) -> None:
    hub.add("org/secret", FILES, private=True)
    refused(hub, rf"shows no repository org/\w+ without a token\. Check the name; if it is private, {LOGIN}", repo_id)


@pytest.mark.parametrize("repo_id", ["org/secret", "org/nowhere"])
def test_with_a_token_that_may_not_read_it(hub: HubServer, monkeypatch: pytest.MonkeyPatch, repo_id: str) -> None:
    hub.add("org/secret", FILES, private=True)
    hub.grant("hf_other")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    refused(hub, r"shows no repository org/\w+ to the token in use\..*use a token that may read it", repo_id)


def test_a_token_that_is_not_valid(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/model", FILES)
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    with pytest.raises(HubError, match=r"refuses to serve org/model to the token in use \(401\)") as caught:
        fetch("org/model", None, ["*"])
    assert "hf_expired" not in str(caught.value)


@pytest.mark.parametrize("token", [None, "hf_other"])
def test_gated(hub: HubServer, monkeypatch: pytest.MonkeyPatch, token: str | None) -> None:
    hub.add("org/gated", FILES, gated=True)
    if token:
        hub.grant(token)
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=r"org/gated is gated.*Ask for access at http://\S+/org/gated, then .*HF_TOKEN"):
        fetch("org/gated", None, ["*"])


def test_forbidden(hub: HubServer) -> None:
    hub.add("org/model", FILES)
    hub.fault("GET", INFO, status=403)
    refused(hub, rf"denies access to org/model.*403.*{LOGIN}")


def test_no_such_revision(hub: HubServer) -> None:
    hub.add("org/model", FILES)
    refused(hub, r"org/model has no revision 'v9'\. Use a branch, tag or commit", revision="v9")
    refused(hub, r"org/model has no revision '0000", revision="0" * 40)
    with pytest.raises(HubError, match="has no revision 'v9'"):
        list_files("org/model", "v9")


def test_a_refusal_is_not_overruled_by_the_cache(hub: HubServer) -> None:
    hub.add("org/model", FILES)
    fetch("org/model", None, ["*"])
    hub.repositories["org/model"].private = True
    refused(hub, "shows no repository org/model without a token")


def test_a_file_that_is_listed_and_not_served(hub: HubServer) -> None:
    hub.add("org/model", FILES)
    hub.fault("*", "*/config.json", status=404, headers={"X-Error-Code": "EntryNotFound"})
    refused(hub, r"lists files of org/model at 'main' that it does not serve")


# Troubles that pass, and troubles that stay.


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(("method", "pattern"), [("GET", INFO), ("GET", TREE), ("HEAD", "*.onnx"), ("GET", "*.onnx*")])
def test_a_trouble_that_passes(hub: HubServer, method: str, pattern: str, status: int) -> None:
    hub.add("org/model", FILES)
    hub.fault(method, pattern, times=2, status=status)
    assert content(fetch("org/model", None, ["*"])) == FILES


@pytest.mark.parametrize(
    ("status", "says"), [(429, r"limits the rate.*429.*later"), (500, "answered 500"), (503, "503")]
)
@pytest.mark.parametrize(("method", "pattern"), [("GET", INFO), ("GET", TREE), ("HEAD", "*.onnx"), ("GET", "*.onnx*")])
def test_a_trouble_that_stays(
    hub: HubServer, pauses: list[float], method: str, pattern: str, status: int, says: str
) -> None:
    hub.add("org/model", FILES)
    hub.fault(method, pattern, status=status)
    with pytest.raises(HubError, match=says):
        fetch("org/model", None, ["*.json", "onnx/model.onnx"])
    assert 4 <= len(pauses) <= 30
    assert sum(pauses) < 150


def test_retry_after_is_heeded(hub: HubServer, pauses: list[float]) -> None:
    hub.add("org/model", FILES)
    hub.fault("GET", INFO, times=1, status=429, headers={"Retry-After": "17"})
    hub.fault("GET", INFO, times=1, status=429, headers={"RateLimit": '"api";r=0;t=23'})
    fetch("org/model", None, ["*.json"])
    assert pauses == [17, 23]


@pytest.mark.parametrize(("method", "pattern"), [("GET", INFO), ("GET", TREE), ("HEAD", "*.json"), ("GET", "*.json")])
def test_a_retry_after_of_hours_is_reported_instead(
    hub: HubServer, pauses: list[float], method: str, pattern: str
) -> None:
    hub.add("org/model", FILES)
    hub.fault(method, pattern, status=429, headers={"Retry-After": "7200"})
    with pytest.raises(HubError, match=rf"429, wait 7200 s.*With a token the limit is higher: {LOGIN}"):
        fetch("org/model", None, ["*.json"])
    assert pauses == []


@pytest.mark.parametrize("status", [429, 500])
def test_the_cache_serves_while_the_hub_is_down(hub: HubServer, status: int) -> None:
    commit = hub.add("org/model", FILES)
    fetch("org/model", None, ["*.json"])
    hub.add("org/model", {"config.json": b"newer"})
    hub.fault("*", "*", status=status)
    snapshot = fetch("org/model", None, ["*.json"])
    assert (snapshot.commit, content(snapshot)) == (commit, {"config.json": CONFIG})
    assert list_files("org/model", None) == ("config.json",)
    with pytest.raises(HubError, match=str(status)):
        fetch("org/model", None, ["*"])


# The network.


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that nobody listens on, nor can while it is ours."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield int(probe.getsockname()[1])


def test_nobody_listens(hub: HubServer, monkeypatch: pytest.MonkeyPatch, pauses: list[float], dead_port: int) -> None:
    hub.add("org/model", FILES)
    cached = fetch("org/model", None, ["*.json"])
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{dead_port}")
    with pytest.raises(HubError, match=r"Cannot reach http://127\.0\.0\.1.*Check the network.*HF_ENDPOINT"):
        fetch("org/model", None, ["*"])
    assert fetch("org/model", None, ["*.json"]) == cached
    assert pauses == []  # an answer at once: whoever is cut off does not want to wait for the cache


@pytest.mark.parametrize("pattern", [INFO, TREE])
def test_silence_has_a_limit(hub: HubServer, monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT", 0.1)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    hub.add("org/model", FILES)
    hub.fault("*", pattern, stall_s=60)
    with pytest.raises(HubError, match="did not answer in time"):
        fetch("org/model", None, ["*"])


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(("method", "pattern"), [("GET", INFO), ("GET", TREE), ("HEAD", "*.json")])
def test_a_connection_that_breaks_before_the_answer(hub: HubServer, method: str, pattern: str, reset: bool) -> None:
    hub.add("org/model", FILES)
    hub.fault(method, pattern, times=2, cut_after_bytes=0, reset=reset)
    assert content(fetch("org/model", None, ["*"])) == FILES


@pytest.mark.parametrize("reset", [False, True])
def test_a_download_that_breaks_in_the_middle_resumes(hub: HubServer, small_chunks: None, reset: bool) -> None:
    hub.add("org/model", FILES)
    hub.fault("GET", "*model.onnx?signature*", times=2, cut_after_bytes=30_500, reset=reset)
    assert content(fetch("org/model", None, ["onnx/model.onnx"])) == {"onnx/model.onnx": WEIGHTS}
    ranges = [exchange.headers.get("range") for exchange in hub.requests("GET", "*model.onnx?signature*")]
    assert ranges[0] is None
    assert len(ranges) == 3
    starts = [int(value.removeprefix("bytes=").removesuffix("-")) for value in ranges[1:] if value]
    assert 0 <= starts[0] < starts[1] <= 61_000  # a reset may also lose what had arrived and was not read yet
    if not reset:
        assert starts == [30_000, 60_000]


@pytest.mark.parametrize("reset", [False, True])
def test_a_download_that_always_breaks(hub: HubServer, tmp_path: Path, pauses: list[float], reset: bool) -> None:
    hub.add("org/model", FILES)
    hub.fault("GET", "*model.onnx?signature*", cut_after_bytes=100, reset=reset)
    with pytest.raises(HubError, match=r"broke again and again while fetching org/model.*try again"):
        fetch("org/model", None, ["*"])
    assert sum(pauses) < 150
    assert not list(tmp_path.rglob("*.incomplete"))
    hub.heal()
    before = len(hub.downloads())
    assert content(fetch("org/model", None, ["*"])) == FILES
    assert ["model.onnx" in path for path in hub.downloads()[before:]] == [True]  # the others were kept


def test_an_answer_that_is_not_the_hubs(hub: HubServer) -> None:
    hub.add("org/model", FILES)
    hub.fault("GET", INFO, status=200, headers={"Content-Type": "text/html"})
    with pytest.raises(HubError, match=r"no usable answer.*Check HF_ENDPOINT"):
        fetch("org/model", None, ["*"])


def test_a_cache_that_is_a_file(hub: HubServer, tmp_path: Path) -> None:
    hub.add("org/model", FILES)
    (tmp_path / "hf").write_text("not a folder")
    with pytest.raises(HubError, match=r"cannot be kept in the cache .*HF_HOME"):
        fetch("org/model", None, ["*"])


# Lies: nothing is ever written outside the cache.


def outside(tmp_path: Path) -> list[str]:
    return [path.name for path in tmp_path.iterdir() if path.name != "hf"]


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil", "a/C:evil", "../../../evil"]
)
def test_file_names_that_lead_out(hub: HubServer, tmp_path: Path, name: str) -> None:
    hub.add("org/model", {"config.json": CONFIG, name: b"evil"})
    for call in (lambda: fetch("org/model", None, ["*"]), lambda: list_files("org/model", None)):
        with pytest.raises(HubError, match="leads out of the repository"):
            call()
    assert hub.downloads() == []
    assert outside(tmp_path) == []


@pytest.mark.parametrize("tag", ["../../../../evil", "/tmp/evil", "..", "a/b", "..\\evil"])
def test_etags_that_lead_out(hub: HubServer, tmp_path: Path, tag: str) -> None:
    hub.add("org/model", FILES)
    hub.forge("org/model", "config.json", ETag=f'"{tag}"')
    hub.forge("org/model", "onnx/model.onnx", X_Linked_Etag=f'"{tag}"')
    for name in ("config.json", "onnx/model.onnx"):
        with pytest.raises(HubError, match="would lead out of the cache"):
            fetch("org/model", None, [name])
    assert outside(tmp_path) == []
    assert hub.downloads() == []


@pytest.mark.parametrize("commit", ["../../../../../evil", "main", "0" * 39, "A" * 40])
def test_commits_that_lead_out(hub: HubServer, tmp_path: Path, commit: str) -> None:
    hub.add("org/model", FILES, commit=commit)
    with pytest.raises(HubError, match="which cannot be"):
        fetch("org/model", None, ["*"])
    assert outside(tmp_path) == []


def test_a_commit_of_a_file_that_leads_out(hub: HubServer, tmp_path: Path) -> None:
    hub.add("org/model", FILES)
    hub.forge("org/model", "config.json", X_Repo_Commit="../../../../evil")
    with pytest.raises(HubError, match="would lead out of the cache"):
        fetch("org/model", None, ["*"])
    assert outside(tmp_path) == []


def test_a_file_of_another_commit(hub: HubServer) -> None:
    hub.add("org/model", FILES)
    hub.forge("org/model", "config.json", X_Repo_Commit="1" * 40)
    with pytest.raises(HubError, match=r"1 of 4 files did not arrive, such as 'config\.json'"):
        fetch("org/model", None, ["*"])


def test_another_commit_than_the_one_asked_for(hub: HubServer) -> None:
    other = hub.add("org/model", FILES)
    asked = "2" * 40
    hub.repositories["org/model"].refs[asked] = other
    with pytest.raises(HubError, match="which cannot be"):
        fetch("org/model", asked, ["*"])
