"""`onnxpress pull`: what comes, what does not, what a cut leaves, and that the folder needs no network afterwards."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import onnxpress
from onnxpress.cli.main import program
from onnxpress.errors import (
    CorruptFile,
    HubError,
    InputError,
    LockMismatch,
    OnnxpressError,
    OutputError,
    UnsupportedFormat,
)
from onnxpress.format.hashing import sha256

from ..fixtures.artifacts import DATA, GRAPH, seal, write_artifact
from ..fixtures.foreign import imports_more, write_foreign
from .server import HubServer

NO_SOCKET = """
import socket, sys

def refuse(*arguments, **names):
    raise AssertionError("a socket was asked for")

socket.socket = socket.create_connection = socket.getaddrinfo = refuse
import onnxpress
with onnxpress.pipeline(model=sys.argv[1]) as pipe:
    print(pipe("good")[0]["label"])
    assert "huggingface_hub" not in sys.modules
"""


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def two_variants(folder: Path, *, external: bool = True) -> Path:
    """An artifact whose second variant, q8, has the first's graph under another name."""
    write_artifact(folder, external=external)
    manifest = onnxpress.Artifact.open(folder).manifest
    (folder / "onnx" / "model_quantized.onnx").write_bytes((folder / GRAPH).read_bytes())
    variant = manifest.variants["fp32"]
    graph = replace(variant.graphs["model"], file="onnx/model_quantized.onnx")
    seal(folder, replace(manifest, variants={"fp32": variant, "q8": replace(variant, graphs={"model": graph})}))
    return folder


def command(*arguments: object) -> Result:
    return CliRunner().invoke(program, ["pull", *map(str, arguments)])


def left_beside(folder: Path) -> list[str]:
    """What else is in the folder's parent, but the cache and what the test made."""
    return sorted(path.name for path in folder.parent.iterdir() if path.name.startswith(f".{folder.name}."))


@pytest.mark.parametrize("foreign", [False, True])
def test_a_pulled_folder_answers_without_any_socket(hub: HubServer, tmp_path: Path, foreign: bool) -> None:
    made = write_foreign(tmp_path / "made") if foreign else write_artifact(tmp_path / "made", external=True)
    commit = hub.add_folder("org/model", made)
    artifact = onnxpress.pull("org/model", tmp_path / "out")
    assert artifact.folder == tmp_path / "out"
    assert names_in(tmp_path / "out") == names_in(made)
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))
    assert left_beside(tmp_path / "out") == []
    assert len(commit) == 40
    done = subprocess.run(
        [sys.executable, "-c", NO_SOCKET, str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("good\n", 0), done.stderr


def test_only_what_the_precision_needs_comes_and_the_manifest_names_no_more(hub: HubServer, tmp_path: Path) -> None:
    hub.add_folder("org/model", two_variants(tmp_path / "made"))
    artifact = onnxpress.pull("org/model", tmp_path / "out", precision="q8")
    assert names_in(tmp_path / "out") == [
        "onnx/model.onnx_data",
        "onnx/model_quantized.onnx",
        "onnxpress.json",
        "tokenizer.json",
    ]
    assert list(artifact.manifest.variants) == ["q8"]
    assert not hub.requests(pattern="*/onnx/model.onnx")
    assert onnxpress.pipeline(model=tmp_path / "out")("bad")[0]["label"] == "bad"
    result = CliRunner().invoke(program, ["check", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("asked", ["all", "fp32,q8", "q8, fp32"])
def test_several_variants_come_with_the_manifest_as_it_is(hub: HubServer, tmp_path: Path, asked: str) -> None:
    made = two_variants(tmp_path / "made")
    hub.add_folder("org/model", made)
    onnxpress.pull("org/model", tmp_path / "out", precision=asked)
    assert names_in(tmp_path / "out") == names_in(made)
    assert (tmp_path / "out" / "onnxpress.json").read_bytes() == (made / "onnxpress.json").read_bytes()


def test_another_tool_s_weights_of_any_name_come(hub: HubServer, tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "artifact", external=True)
    folder = write_foreign(tmp_path / "folder")
    for name in (Path(GRAPH).name, DATA):
        (artifact / "onnx" / name).rename(folder / "onnx" / name)
    (folder / "pytorch_model.bin").write_bytes(b"not for us")
    (folder / "onnx" / "model_fp16.onnx").write_bytes(b"not asked for")
    hub.add_folder("org/foreign", folder)
    onnxpress.pull("org/foreign", tmp_path / "out")
    assert names_in(tmp_path / "out") == [
        "config.json",
        "onnx/model.onnx",
        "onnx/model.onnx_data",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert not hub.requests(pattern="*pytorch_model*") and not hub.requests(pattern="*fp16*")
    assert onnxpress.pipeline(model=tmp_path / "out")("good")[0]["label"] == "good"


def test_json_tells_the_commit_and_every_file(hub: HubServer, tmp_path: Path) -> None:
    made = write_artifact(tmp_path / "made")
    commit = hub.add_folder("org/model", made, revision="v1")
    result = command("org/model", "--revision", "v1", "--to", tmp_path / "out", "--json")
    said = json.loads(result.output)
    assert (said["repo_id"], said["revision"], said["commit"]) == ("org/model", "v1", commit)
    assert said["files"][GRAPH] == {"bytes": (made / GRAPH).stat().st_size, "sha256": sha256(made / GRAPH)}
    assert (said["precisions"], said["bytes"]) == (["fp32"], sum(file["bytes"] for file in said["files"].values()))


def test_people_are_told_in_two_lines(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.add_folder("org/model", write_artifact(tmp_path / "made"))
    result = command("org/model", "--to", tmp_path / "out")
    assert "out: fp32 of org/model at main, 3 files, " in result.output
    assert f"commit {commit}" in result.output


def test_files_that_the_cache_has_are_not_sent_again(hub: HubServer, tmp_path: Path) -> None:
    hub.add_folder("org/model", write_artifact(tmp_path / "made", external=True))
    onnxpress.pipeline(model="org/model").close()
    before = len(hub.downloads())
    onnxpress.pull("org/model", tmp_path / "out")
    assert len(hub.downloads()) == before


def test_offline_the_cache_serves_alone(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_folder("org/model", write_artifact(tmp_path / "made", external=True))
    onnxpress.pipeline(model="org/model").close()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    count = len(hub.requests())
    onnxpress.pull("org/model", tmp_path / "out")
    assert len(hub.requests()) == count
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        onnxpress.pull("org/other", tmp_path / "other")
    with pytest.raises(HubError, match="local_files_only=True forbids"):
        onnxpress.pull("org/other", tmp_path / "other", local_files_only=True)


def test_a_damaged_copy_in_the_cache_is_not_taken(hub: HubServer, tmp_path: Path) -> None:
    hub.add_folder("org/model", write_artifact(tmp_path / "made", external=True))
    artifact = onnxpress.Artifact.open("org/model", precision="fp32")
    blob = (artifact.folder / "onnx" / DATA).resolve()
    blob.write_bytes(b"x" * blob.stat().st_size)
    onnxpress.pull("org/model", tmp_path / "out")
    assert sha256(tmp_path / "out" / "onnx" / DATA) == sha256(tmp_path / "made" / "onnx" / DATA)


# Cuts.


def weighty(folder: Path) -> Path:
    """An artifact with a file that takes some time: 200 KB beside the graph."""
    write_artifact(folder, external=True)
    data = folder / "onnx" / DATA
    data.write_bytes(data.read_bytes() + bytes(range(256)) * 800)
    manifest = onnxpress.Artifact.open(folder).manifest
    seal(folder, manifest)
    return folder


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_is_continued_where_it_was(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reset: bool
) -> None:
    monkeypatch.setattr("onnxpress.hub.download._CHUNK_BYTES", 1000)
    made = weighty(tmp_path / "made")
    hub.add_folder("org/model", made)
    hub.fault("GET", "*model.onnx_data?signature*", times=3, cut_after_bytes=20_000, reset=reset)
    onnxpress.pull("org/model", tmp_path / "out")
    assert names_in(tmp_path / "out") == names_in(made)
    ranges = [exchange.headers.get("range") for exchange in hub.requests("GET", "*model.onnx_data?signature*")]
    assert ranges[0] is None
    assert len(ranges) == 4 and all(ranges[1:])


def test_another_call_goes_on_where_a_cut_left_off(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxpress.hub.download._CHUNK_BYTES", 1000)
    made = weighty(tmp_path / "made")
    hub.add_folder("org/model", made)
    hub.fault("GET", "*model.onnx_data?signature*", times=1, cut_after_bytes=50_000)
    hub.fault("GET", "*model.onnx_data?signature*", status=503)
    with pytest.raises(HubError, match="answered 503"):
        onnxpress.pull("org/model", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert left_beside(tmp_path / "out") == [".out.pulling"]
    hub.heal()
    before = len(hub.downloads())
    onnxpress.pull("org/model", tmp_path / "out")
    sent = hub.requests("GET", "*model.onnx_data?signature*")[-1]
    assert sent.status == 206 and sent.headers["range"].startswith("bytes=")
    assert len(hub.downloads()) == before + 1  # whatever arrived whole was kept
    assert left_beside(tmp_path / "out") == []
    assert sha256(tmp_path / "out" / "onnx" / DATA) == sha256(made / "onnx" / DATA)


@pytest.mark.parametrize("garbage", [b"x" * 1000, b"x" * 10_000_000])
def test_what_was_left_and_is_not_the_file_is_fetched_anew(hub: HubServer, tmp_path: Path, garbage: bytes) -> None:
    hub.add_folder("org/model", weighty(tmp_path / "made"))
    hub.fault("GET", "*model.onnx_data?signature*", status=403)
    with pytest.raises(HubError, match="403"):
        onnxpress.pull("org/model", tmp_path / "out")
    hub.heal()
    hub.fault("GET", "*model.onnx_data?signature*", times=1, cut_after_bytes=100_000)
    hub.fault("GET", "*model.onnx_data?signature*", status=403)
    with pytest.raises(HubError, match="403"):
        onnxpress.pull("org/model", tmp_path / "out")
    hub.heal()
    digest = sha256(tmp_path / "made" / "onnx" / DATA)
    part = next((tmp_path / ".out.pulling" / "parts").glob(f"*-{digest}"))
    part.write_bytes(garbage)
    onnxpress.pull("org/model", tmp_path / "out")
    assert sha256(tmp_path / "out" / "onnx" / DATA) == digest


def test_two_pulls_into_one_folder_do_not_mix(hub: HubServer, tmp_path: Path) -> None:
    from onnxpress.format.staging import alone

    hub.add_folder("org/model", write_artifact(tmp_path / "made"))
    (tmp_path / ".out.pulling").mkdir()
    with alone(tmp_path / ".out.pulling" / "lock"), pytest.raises(InputError, match="another pull"):
        onnxpress.pull("org/model", tmp_path / "out")


# Refusals.


def refusals() -> list[tuple[str, Callable[[HubServer, Path, pytest.MonkeyPatch], Any], type[OnnxpressError], str]]:
    """A name, what to do, and what is said."""

    def pulls(**arguments: Any) -> Callable[[HubServer, Path, pytest.MonkeyPatch], Any]:
        return lambda hub, out, patch: onnxpress.pull(arguments.pop("model", "org/model"), out, **arguments)

    def existing(hub: HubServer, out: Path, patch: pytest.MonkeyPatch) -> None:
        out.mkdir()
        onnxpress.pull("org/model", out)

    def forced_over_something_else(hub: HubServer, out: Path, patch: pytest.MonkeyPatch) -> None:
        out.mkdir()
        (out / "thesis.txt").write_text("years of work")
        onnxpress.pull("org/model", out, force=True)

    def full(hub: HubServer, out: Path, patch: pytest.MonkeyPatch) -> None:
        usage = type("usage", (), {"free": 100})
        patch.setattr("onnxpress.pipelines.pulling.shutil.disk_usage", lambda path: usage)
        onnxpress.pull("org/model", out)

    def full_on_the_way(hub: HubServer, out: Path, patch: pytest.MonkeyPatch) -> None:
        def fails(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr("onnxpress.hub.download.Download._stream", fails)
        onnxpress.pull("org/model", out)

    def private(hub: HubServer, out: Path, patch: pytest.MonkeyPatch) -> None:
        hub.repositories["org/model"].private = True
        onnxpress.pull("org/model", out)

    def with_the_wrong_token(hub: HubServer, out: Path, patch: pytest.MonkeyPatch) -> None:
        hub.repositories["org/model"].private = True
        hub.grant("hf_other")
        onnxpress.pull("org/model", out, token="hf_other")

    def gated(hub: HubServer, out: Path, patch: pytest.MonkeyPatch) -> None:
        hub.repositories["org/model"].gated = True
        onnxpress.pull("org/model", out)

    def faulty(status: int, method: str, pattern: str, **headers: str) -> Callable[..., None]:
        def action(hub: HubServer, out: Path, patch: pytest.MonkeyPatch) -> None:
            hub.fault(method, pattern, status=status, headers={key.replace("_", "-"): v for key, v in headers.items()})
            onnxpress.pull("org/model", out)

        return action

    return [
        ("existing", existing, InputError, r"out exists already\. Choose another output folder"),
        ("not ours", forced_over_something_else, InputError, "is not an onnxpress artifact"),
        ("id", pulls(model="../x"), HubError, "is not the name of a repository"),
        ("no repository", pulls(model="org/none"), HubError, "shows no repository org/none without a token"),
        ("revision", pulls(revision="v9"), HubError, "org/model has no revision 'v9'"),
        ("commit", pulls(revision="0" * 40), HubError, "org/model has no revision '000"),
        ("precision", pulls(precision="int8"), UnsupportedFormat, "int8"),
        ("misspelt", pulls(precision="fp23"), UnsupportedFormat, "fp32"),
        ("full", full, OutputError, "the disk has room for"),
        ("full later", full_on_the_way, OutputError, r"No space left.*What arrived is kept"),
        ("private", private, HubError, "set HF_TOKEN"),
        ("wrong token", with_the_wrong_token, HubError, "to the token in use"),
        ("gated", gated, HubError, "org/model is gated"),
        ("401", faulty(401, "GET", "/api/models/*"), HubError, r"refuses to serve.*\(401\)"),
        ("403 of a file", faulty(403, "GET", "*onnx?signature*"), HubError, r"denies access.*\(403\)"),
        ("404 of a file", faulty(404, "HEAD", "*.onnx", X_Error_Code="EntryNotFound"), HubError, "does not serve"),
        ("429", faulty(429, "GET", "*onnx?signature*", Retry_After="1"), HubError, "429, wait 1 s"),
        ("429 for long", faulty(429, "GET", "*/tree/*", Retry_After="3600"), HubError, "429, wait 3600 s"),
        ("503", faulty(503, "HEAD", "*.onnx"), HubError, "answered 503"),
    ]


@pytest.mark.parametrize(
    ("action", "kind", "says"),
    [refusal[1:] for refusal in refusals()],
    ids=[refusal[0] for refusal in refusals()],
)
def test_a_refusal_is_a_sentence_and_leaves_no_folder(
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    action: Callable[[HubServer, Path, pytest.MonkeyPatch], Any],
    kind: type[OnnxpressError],
    says: str,
) -> None:
    hub.add_folder("org/model", write_artifact(tmp_path / "made"))
    out = tmp_path / "out"
    before = out.exists()
    with pytest.raises(kind, match=says) as caught:
        action(hub, out, monkeypatch)
    assert ".pulling/files" not in str(caught.value)
    assert not (out / "onnxpress.json").exists() and not before


def test_a_mirror_that_is_not_there(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    with pytest.raises(HubError, match=r"Cannot reach http://127.*HF_ENDPOINT"):
        onnxpress.pull("org/model", tmp_path / "out")


def test_a_file_that_is_not_what_the_hub_lists(hub: HubServer, tmp_path: Path) -> None:
    made = write_artifact(tmp_path / "made", external=True)
    commit = hub.add_folder("org/model", made)
    content = hub.repositories["org/model"].commits[commit]
    true = content[f"onnx/{DATA}"]
    hub.lie("org/model", f"onnx/{DATA}", b"y" * len(true))
    with pytest.raises(HubError, match=rf"onnx/{DATA} arrived with another hash than the Hub lists"):
        onnxpress.pull("org/model", tmp_path / "out")
    hub.lie("org/model", f"onnx/{DATA}", true + b"and more")
    with pytest.raises(HubError, match="is longer than the"):
        onnxpress.pull("org/model", tmp_path / "out")


def test_files_that_are_the_hub_s_and_not_the_manifest_s(hub: HubServer, tmp_path: Path) -> None:
    made = write_artifact(tmp_path / "made", external=True)
    (made / "onnx" / DATA).write_bytes(b"z" * (made / "onnx" / DATA).stat().st_size)
    hub.add_folder("org/model", made)
    with pytest.raises(CorruptFile, match=r"is not the file that onnxpress\.json names"):
        onnxpress.pull("org/model", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_token_reaches_the_hub_and_not_the_store_of_large_files(hub: HubServer, tmp_path: Path) -> None:
    hub.add_folder("org/secret", write_artifact(tmp_path / "made", external=True))
    hub.repositories["org/secret"].private = True
    hub.grant("hf_right", "org/secret")
    onnxpress.pull("org/secret", tmp_path / "out", token="hf_right")
    assert all("authorization" not in exchange.headers for exchange in hub.requests() if exchange.origin == "cdn")
    assert "hf_right" not in "".join(
        path.read_text(errors="replace") for path in (tmp_path / "out").rglob("*") if path.is_file()
    )


# The lock, of what is on the Hub.


@pytest.mark.parametrize("foreign", [False, True])
def test_a_lock_holds_the_commit_and_what_changed_is_named(hub: HubServer, tmp_path: Path, foreign: bool) -> None:
    made = write_foreign(tmp_path / "made") if foreign else write_artifact(tmp_path / "made", external=True)
    old, lock = hub.add_folder("org/model", made), tmp_path / "onnxpress.lock"
    onnxpress.pipeline(model="org/model", lock=lock).close()
    said = json.loads(lock.read_text())
    assert (said["source"], said["commit"]) == ("org/model", old)
    onnxpress.pipeline(model="org/model", lock=lock).close()
    tokenizer = json.loads((made / "tokenizer.json").read_text())
    (made / "tokenizer.json").write_text(json.dumps(tokenizer, indent=1))
    write_foreign(tmp_path / "other", edits=[imports_more])
    (tmp_path / "other" / GRAPH).replace(made / GRAPH)
    new = hub.add_folder("org/model", made)
    before = len(hub.requests(pattern="*.onnx?signature*"))
    with pytest.raises(
        LockMismatch, match=rf"is commit {new} now; .*lock has {old}\. onnx/model\.onnx changed"
    ) as caught:
        onnxpress.pipeline(model="org/model", lock=lock)
    assert "tokenizer.json changed" in str(caught.value)
    assert len(hub.requests(pattern="*.onnx?signature*")) == before or foreign
    assert onnxpress.pipeline(model="org/model", revision=old, lock=lock)("good")[0]["label"] == "good"


def test_a_lock_of_the_hub_holds_for_the_pulled_folder(hub: HubServer, tmp_path: Path) -> None:
    lock = tmp_path / "onnxpress.lock"
    hub.add_folder("org/model", write_artifact(tmp_path / "made", external=True))
    result = command("org/model", "--to", tmp_path / "out", "--lock", lock)
    assert result.exit_code == 0, result.output
    onnxpress.pipeline(model=tmp_path / "out", lock=lock).close()
    onnxpress.pipeline(model="org/model", lock=lock).close()
    hub.add_folder("org/model", write_foreign(tmp_path / "foreign"))
    with pytest.raises(LockMismatch, match=r"onnxpress\.json is gone"):
        onnxpress.pull("org/model", tmp_path / "again", lock=lock)
    assert not (tmp_path / "again").exists()


def test_a_lock_is_of_one_repository_and_one_variant(hub: HubServer, tmp_path: Path) -> None:
    made, lock = two_variants(tmp_path / "made"), tmp_path / "onnxpress.lock"
    hub.add_folder("org/model", made)
    hub.add_folder("org/other", made)
    onnxpress.pull("org/model", tmp_path / "out", precision="q8", lock=lock)
    with pytest.raises(LockMismatch, match="is of org/model, not of org/other"):
        onnxpress.pull("org/other", tmp_path / "other", precision="q8", lock=lock)
    with pytest.raises(InputError, match="A lock is of one variant"):
        onnxpress.pull("org/model", tmp_path / "both", precision="all", lock=lock)
    with pytest.raises(LockMismatch, match=r"q8, and fp32 is to run"):
        onnxpress.pull("org/model", tmp_path / "fp32", precision="fp32", lock=lock)
