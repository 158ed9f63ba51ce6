"""`onnxpress push`: what goes to the Hub, what does not, what is refused, and that nothing is sent twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import onnxpress
from onnxpress.cli.main import program
from onnxpress.errors import CorruptFile, HubError, InputError, OnnxpressError
from onnxpress.format.front_matter import read_card
from onnxpress.format.manifest import Quality

from ..fixtures.artifacts import DATA, GRAPH, seal, write_artifact
from ..fixtures.foreign import write_foreign
from .server import HubServer

TOKEN = "hf_" + "w" * 34


@pytest.fixture(autouse=True)
def writer(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that may write, and no Xet: the server speaks git-lfs' protocol, which the library uses without it."""
    hub.grant_write(TOKEN, "me/model", "me/other")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)


def verified(folder: Path, card: str = "") -> Path:
    """An artifact that says that it was compared, with weights beside its graph."""
    write_artifact(folder, external=True)
    manifest = onnxpress.Artifact.open(folder).manifest
    quality = Quality("PyTorch 2.13", 8, 8, 1e-6, 1e-4, 1e-6, 1e-4, {"agreement": 1.0})
    variants = {"fp32": replace(manifest.variants["fp32"], quality=quality)}
    if card:
        (folder / "README.md").write_text(card)
    provenance = replace(manifest.provenance, source="org/base", commit="c" * 40)
    seal(folder, replace(manifest, variants=variants, provenance=provenance))
    return folder


def on_hub(hub: HubServer, repo_id: str = "me/model", revision: str = "main") -> dict[str, bytes]:
    repository = hub.repositories[repo_id]
    files = dict(repository.commits[repository.refs[revision]])
    files.pop(".gitattributes", None)
    return files


def command(*arguments: object) -> Result:
    return CliRunner().invoke(program, ["push", *map(str, arguments)])


def test_a_pushed_artifact_is_opened_by_its_id(hub: HubServer, tmp_path: Path) -> None:
    made = verified(tmp_path / "made", "---\nlicense: mit\nlanguage:\n- en\n---\n# Mine\n\nTHIS_FOLDER_OR_HUB_ID\n")
    (made / "notes.txt").write_text("not in the manifest")
    (made / ".env").write_text("secret")
    result = command(made, "me/model", "--private", "--message", "First one")
    assert result.exit_code == 0, result.output
    files = on_hub(hub)
    assert sorted(files) == ["README.md", GRAPH, f"onnx/{DATA}", "onnxpress.json", "tokenizer.json"]
    repository = hub.repositories["me/model"]
    assert repository.private
    assert repository.messages[repository.refs["main"]] == "First one"
    assert len(repository.messages) == 1  # one commit
    assert files[f"onnx/{DATA}"] == (made / "onnx" / DATA).read_bytes()
    card = read_card(files["README.md"].decode())
    assert card.values("license") == ("mit",) and card.values("language") == ("en",)
    assert card.values("base_model") == ("org/base",)
    assert card.values("library_name") == ("onnxpress",) and card.values("pipeline_tag") == ("text-classification",)
    assert card.values("tags") == ("onnx", "onnxpress")
    assert card.body.strip() == "# Mine\n\nme/model"
    with onnxpress.pipeline(model="me/model") as pipe:
        assert pipe("good")[0]["label"] == "good"
    onnxpress.pull("me/model", tmp_path / "out")
    checked = CliRunner().invoke(program, ["check", str(tmp_path / "out")])
    assert checked.exit_code == 0, checked.output


def test_without_a_card_one_with_the_table_is_made(hub: HubServer, tmp_path: Path) -> None:
    onnxpress.push(verified(tmp_path / "made"), "me/model")
    card = read_card(on_hub(hub)["README.md"].decode())
    assert card.values("base_model") == ("org/base",)
    assert "| fp32 | " in card.body and 'onnxpress.pipeline("text-classification", "me/model")' in card.body


def test_pushing_again_with_no_change_uploads_nothing(hub: HubServer, tmp_path: Path) -> None:
    made = verified(tmp_path / "made")
    first = onnxpress.push(made, "me/model")
    before = len(hub.requests("P*"))
    again = onnxpress.push(made, "me/model")
    assert (again.uploaded, again.commit, again.url) == ({}, first.commit, None)
    assert len(hub.requests("P*")) == before
    assert "is so already" in command(made, "me/model").output
    onnxpress.pull("me/model", tmp_path / "out")
    assert onnxpress.push(tmp_path / "out", "me/model").uploaded == {}


def test_only_what_changed_goes_and_what_the_manifest_names_no_more_is_removed(hub: HubServer, tmp_path: Path) -> None:
    made = verified(tmp_path / "made")
    manifest = onnxpress.Artifact.open(made).manifest
    (made / "old.json").write_text("{}")
    seal(made, manifest)
    onnxpress.push(made, "me/model")
    repository = hub.repositories["me/model"]
    theirs = {**on_hub(hub), "theirs.txt": b"somebody's"}
    hub.commit("me/model", theirs, "main", "by hand")
    (made / "old.json").unlink()
    (made / "tokenizer.json").write_text(json.dumps(json.loads((made / "tokenizer.json").read_text()), indent=1))
    seal(made, manifest)
    before, sent = len(repository.commits), len(hub.uploads())
    pushed = onnxpress.push(made, "me/model")
    assert set(pushed.uploaded) == {"tokenizer.json", "onnxpress.json"}
    assert pushed.removed == ("old.json",)
    assert len(hub.uploads()) == sent  # no large file
    assert len(repository.commits) == before + 1
    assert "old.json" not in on_hub(hub) and on_hub(hub)["theirs.txt"] == b"somebody's"


def test_large_files_go_in_parts_where_the_store_wants_it(hub: HubServer, tmp_path: Path) -> None:
    hub.part_bytes = 30
    made = verified(tmp_path / "made")
    onnxpress.push(made, "me/model")
    assert len(hub.uploads()) > 10
    assert on_hub(hub)[GRAPH] == (made / GRAPH).read_bytes()


def test_a_pull_request_leaves_the_branch(hub: HubServer, tmp_path: Path) -> None:
    hub.add("org/theirs", {"README.md": b"# Theirs"})
    pushed = onnxpress.push(verified(tmp_path / "made"), "org/theirs", create_pr=True)
    assert pushed.pull_request == f"{hub.url}/org/theirs/discussions/1"
    assert on_hub(hub, "org/theirs") == {"README.md": b"# Theirs"}
    assert GRAPH in on_hub(hub, "org/theirs", "refs/pr/1")


def test_a_dry_run_lists_files_and_sizes_and_writes_nothing(hub: HubServer, tmp_path: Path) -> None:
    made = verified(tmp_path / "made")
    result = command(made, "me/model", "--dry-run")
    assert result.exit_code == 0, result.output
    assert f"{GRAPH}" in result.output and "would be uploaded" in result.output and "444 B" in result.output
    assert hub.requests("P*") == [] and "me/model" not in hub.repositories
    said = json.loads(command(made, "me/model", "--dry-run", "--json").output)
    assert said["uploaded"][GRAPH] == (made / GRAPH).stat().st_size
    assert (said["dry_run"], said["created"], said["commit"]) == (True, False, None)


def test_another_tool_s_folder_goes_when_it_is_said(hub: HubServer, tmp_path: Path) -> None:
    made = write_foreign(tmp_path / "made")
    (made / "README.md").write_text("---\nlicense: mit\npipeline_tag: text-classification\n---\n# Theirs\n")
    (made / "pytorch_model.bin").write_bytes(b"pickle")
    result = command(made, "me/model")
    assert result.exit_code == 1 and isinstance(result.exception, InputError)
    assert "was never compared with its original" in str(result.exception)
    assert hub.requests() == []
    onnxpress.push(made, "me/model", unverified=True)
    assert sorted(on_hub(hub)) == ["README.md", "config.json", GRAPH, "tokenizer.json", "tokenizer_config.json"]
    card = read_card(on_hub(hub)["README.md"].decode())
    assert card.values("license") == ("mit",) and card.body.strip() == "# Theirs"
    assert onnxpress.pipeline(model="me/model")("good")[0]["label"] == "good"


def test_paths_of_this_machine_are_cut_down(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    made = verified(tmp_path / "made")
    manifest = onnxpress.Artifact.open(made).manifest
    (made / "config.json").write_text('{"_name_or_path": "/home/someone/work/base", "model_type": "bert"}')
    provenance = replace(manifest.provenance, source="/home/someone/work/base", commit=None)
    seal(made, replace(manifest, provenance=provenance))
    pushed = onnxpress.push(made, "me/model")
    assert pushed.shortened == ("config.json",)
    assert json.loads(on_hub(hub)["config.json"])["_name_or_path"] == "base"
    assert b"/home/someone" not in b"".join(on_hub(hub).values())
    assert onnxpress.pipeline(model="me/model")("good")[0]["label"] == "good"


def test_a_push_that_was_cut_goes_on_without_sending_again(hub: HubServer, tmp_path: Path) -> None:
    made = verified(tmp_path / "made")
    hub.fault("POST", "*/commit/*", status=503)
    with pytest.raises(HubError, match="answered 503 to every attempt to write me/model"):
        onnxpress.push(made, "me/model")
    assert on_hub(hub) == {}
    sent = len(hub.uploads())
    assert sent == 2
    hub.heal()
    onnxpress.push(made, "me/model")
    assert len(hub.uploads()) == sent
    assert GRAPH in on_hub(hub)


@pytest.mark.parametrize("status", [429, 500])
@pytest.mark.parametrize(("method", "pattern"), [("POST", "*/preupload/*"), ("PUT", "*"), ("POST", "*/commit/*")])
def test_a_trouble_that_passes(hub: HubServer, tmp_path: Path, method: str, pattern: str, status: int) -> None:
    hub.fault(method, pattern, times=1, status=status)
    onnxpress.push(verified(tmp_path / "made"), "me/model")
    assert GRAPH in on_hub(hub)
    assert len(hub.repositories["me/model"].messages) == 1


def test_a_commit_whose_answer_was_lost_is_not_made_twice(hub: HubServer, tmp_path: Path) -> None:
    hub.lose("*/commit/*", times=1)
    pushed = onnxpress.push(verified(tmp_path / "made"), "me/model")
    assert pushed.commit == hub.repositories["me/model"].refs["main"]
    assert len(hub.repositories["me/model"].messages) == 1


def refusals() -> list[tuple[str, Callable[[HubServer, Path, pytest.MonkeyPatch], Any], type[OnnxpressError], str]]:
    """A name, what to do with an artifact, and what is said."""

    def no_token(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        patch.delenv("HF_TOKEN")
        onnxpress.push(made, "me/model")

    def bad_token(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        onnxpress.push(made, "me/model", token="hf_expired")

    def reads_only(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        hub.add("org/theirs", {"a.txt": b""})
        onnxpress.push(made, "org/theirs")

    def not_ours(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        onnxpress.push(made, "other/model")

    def nobody_s(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        onnxpress.push(made, "model")

    def damaged(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        (made / "onnx" / DATA).write_bytes(b"x" * (made / "onnx" / DATA).stat().st_size)
        onnxpress.push(made, "me/model")

    def missing(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        (made / "tokenizer.json").unlink()
        onnxpress.push(made, "me/model")

    def not_compared(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        onnxpress.push(write_artifact(made.with_name("hashed")), "me/model")

    def public(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        hub.add("me/model", {"a.txt": b""})
        onnxpress.push(made, "me/model", private=True)

    def secret(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        (made / "README.md").write_text(f"# Mine\n\nrun it with HF_TOKEN={TOKEN}\n")
        onnxpress.push(made, "me/model")

    def secret_in_settings(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        manifest = onnxpress.Artifact.open(made).manifest
        (made / "config.json").write_text(json.dumps({"token": TOKEN}))
        seal(made, manifest)
        onnxpress.push(made, "me/model")

    def moved(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        hub.add("me/model", {"a.txt": b""})
        hub.before("*/commit/*", lambda: hub.commit("me/model", {"b.txt": b""}, "main", "theirs"))
        onnxpress.push(made, "me/model")

    def card(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        (made / "README.md").write_text("---\nlicense: my own licence\n---\n# Mine\n")
        onnxpress.push(made, "me/model")

    def offline(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        onnxpress.push(made, "me/model")

    def no_branch(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        hub.add("me/model", {"a.txt": b""})
        onnxpress.push(made, "me/model", revision="dev")

    def pr_to_nowhere(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
        onnxpress.push(made, "me/other", create_pr=True)

    def faulty(status: int, method: str, pattern: str, **headers: str) -> Callable[..., None]:
        def action(hub: HubServer, made: Path, patch: pytest.MonkeyPatch) -> None:
            hub.fault(method, pattern, status=status, headers={key.replace("_", "-"): v for key, v in headers.items()})
            onnxpress.push(made, "me/model")

        return action

    return [
        ("no token", no_token, HubError, r"a token is needed that may write: set HF_TOKEN or run `hf auth login`"),
        ("bad token", bad_token, HubError, r"does not accept the token in use \(401\)"),
        (
            "reads only",
            reads_only,
            HubError,
            r"does not let the token in use write to org/theirs.*write access.*create_pr",
        ),
        ("not ours", not_ours, HubError, r"\(403: You don't have the rights"),
        ("nobody's", nobody_s, HubError, r"'model' does not say whose it is\. Give \"owner/name\""),
        ("damaged", damaged, CorruptFile, "SHA-256"),
        ("missing", missing, OnnxpressError, r"tokenizer\.json: the manifest lists this file"),
        ("not compared", not_compared, InputError, r"of fp32 nothing was measured.*unverified=True"),
        ("public", public, InputError, "me/model is there already, and is public"),
        ("secret", secret, InputError, r"README\.md: holds what looks like a token"),
        ("secret in settings", secret_in_settings, InputError, r"config\.json: holds what looks like a token"),
        ("moved", moved, HubError, "has got another commit while this one was made"),
        ("card", card, HubError, r"front matter.*license.*Correct README\.md"),
        ("offline", offline, HubError, "HF_HUB_OFFLINE is set, so me/model cannot be written"),
        ("no branch", no_branch, HubError, "me/model has no revision 'dev'"),
        ("PR", pr_to_nowhere, HubError, "no pull request can be opened"),
        ("quota", faulty(402, "POST", "/api/repos/create"), HubError, r"has no room for me/model \(402"),
        ("413", faulty(413, "POST", "*/commit/*"), HubError, r"has no room for me/model \(413"),
        ("429", faulty(429, "POST", "*/commit/*", Retry_After="7"), HubError, r"429, wait 7 s.*Push again later"),
        ("store", faulty(500, "PUT", "*"), HubError, "answered 500 to every attempt to write"),
    ]


@pytest.mark.parametrize(
    ("action", "kind", "says"), [row[1:] for row in refusals()], ids=[row[0] for row in refusals()]
)
def test_a_refusal_is_a_sentence_and_writes_nothing(
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    action: Callable[[HubServer, Path, pytest.MonkeyPatch], Any],
    kind: type[OnnxpressError],
    says: str,
) -> None:
    made = verified(tmp_path / "made")
    with pytest.raises(kind, match=says) as caught:
        action(hub, made, monkeypatch)
    assert TOKEN not in str(caught.value)
    for repository in hub.repositories.values():
        assert not any(GRAPH in files for files in repository.commits.values())


def test_a_mirror_without_xet_is_named(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With Xet on, the library asks for Xet's write token, which such an endpoint does not give."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    with pytest.raises(HubError, match=r"me/model was(?: not)? written"):
        onnxpress.push(verified(tmp_path / "made"), "me/model")
    assert not any(GRAPH in files for files in hub.repositories["me/model"].commits.values())
