"""Damaged and hostile artifacts: each is refused with the error that says what is wrong, before anything runs.

Graph files have a table of their own (tests/fixtures/bad/graphs.py); here each of those also sits in an artifact
whose manifest is in perfect order, hashes included, as an attacker would make it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import onnxpress
from onnxpress.errors import ArtifactError, CorruptFile, InvalidManifest, MissingFile, UnsupportedFormat
from onnxpress.format.manifest import FILE_NAME, parse

from ..fixtures.artifacts import DATA, GRAPH, seal, write_artifact
from ..fixtures.bad.graphs import BAD_GRAPHS

Damage = Callable[[Path], object]


def _edit(change: Callable[[dict[str, Any]], object]) -> Damage:
    """A change of the manifest alone."""

    def damage(folder: Path) -> None:
        path = folder / FILE_NAME
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value))

    return damage


def _rename_in_manifest(name: str, other: str) -> Damage:
    """Let the manifest call the file `name` by another name, everywhere."""

    def damage(folder: Path) -> None:
        path = folder / FILE_NAME
        path.write_text(path.read_text().replace(json.dumps(name), json.dumps(other)))

    return damage


def _flip(name: str) -> Damage:
    def damage(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)

    return damage


def _truncate(name: str) -> Damage:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


def _swap(folder: Path) -> None:
    graph, tokenizer = folder / GRAPH, folder / "tokenizer.json"
    data = graph.read_bytes()
    graph.write_bytes(tokenizer.read_bytes())
    tokenizer.write_bytes(data)


def _link_out(name: str) -> Damage:
    """Replace a file by a link to an equal one outside: hash and size still agree."""

    def damage(folder: Path) -> None:
        outside = folder.parent / "outside"
        shutil.move(folder / name, outside)
        (folder / name).symlink_to(outside)

    return damage


def _link_folder_out(folder: Path) -> None:
    shutil.move(folder / "onnx", folder.parent / "elsewhere")
    (folder / "onnx").symlink_to(folder.parent / "elsewhere")


def _bytes(data: bytes) -> Damage:
    return lambda folder: (folder / FILE_NAME).write_bytes(data)


def _foreign_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "Evil"}}')
    seal(folder, parse((folder / FILE_NAME).read_bytes()))


def _undeclared_input(folder: Path) -> None:
    value = parse((folder / FILE_NAME).read_bytes())
    graph = value.graphs["model"]
    seal(folder, replace(value, graphs={"model": replace(graph, inputs=graph.inputs[:1])}))


ARTIFACTS: dict[str, tuple[Damage, type[ArtifactError], str]] = {
    "empty folder": (lambda f: [shutil.rmtree(f), f.mkdir()], MissingFile, "not an onnxpress artifact"),
    "a checkpoint instead": (
        lambda f: [shutil.rmtree(f), f.mkdir(), (f / "config.json").touch()], MissingFile, "onnxpress export"),
    "manifest is a folder": (
        lambda f: [(f / FILE_NAME).unlink(), (f / FILE_NAME).mkdir()], InvalidManifest, "not a file"),
    "manifest is empty": (_bytes(b""), InvalidManifest, "JSON"),
    "manifest is cut": (_truncate(FILE_NAME), InvalidManifest, "JSON"),
    "manifest is binary": (_bytes(b"\xff\xfe\x00\x01"), InvalidManifest, "UTF-8"),
    "manifest is nested without end": (_bytes(b"[" * 200_000), InvalidManifest, "JSON"),
    "manifest of 20 MB": (_bytes(b" " * 20_000_000), InvalidManifest, "more than a manifest"),
    "manifest of the future": (_edit(lambda m: m.update(format_version=2**40)), UnsupportedFormat, "Upgrade"),
    "manifest of another tool": (_edit(lambda m: m.update(format="other")), InvalidManifest, "not an onnxpress"),
    "unknown field": (_edit(lambda m: m.update(pickle="x")), UnsupportedFormat, "'pickle'"),
    "task that does not exist here": (
        _edit(lambda m: m.update(task="mind-reading")), onnxpress.UnknownTask, "mind-reading"),  # type: ignore[dict-item]
    "graph is missing": (lambda f: (f / GRAPH).unlink(), MissingFile, "not there"),
    "tokenizer is missing": (lambda f: (f / "tokenizer.json").unlink(), MissingFile, "not there"),
    "graph is a folder": (lambda f: [(f / GRAPH).unlink(), (f / GRAPH).mkdir()], MissingFile, "not there"),
    "graph is cut": (_truncate(GRAPH), CorruptFile, "bytes, the manifest says"),
    "one bit of the graph": (_flip(GRAPH), CorruptFile, "SHA-256"),
    "one bit of the tokenizer": (_flip("tokenizer.json"), CorruptFile, "SHA-256"),
    "graph and tokenizer swapped": (_swap, CorruptFile, "the manifest says"),
    "tokenizer of another kind": (_foreign_tokenizer, CorruptFile, "not a tokenizer"),
    "size of an exabyte": (
        _edit(lambda m: m["files"][GRAPH].update(bytes=2**60)), CorruptFile, "the manifest says"),
    "input that the manifest hides": (_undeclared_input, CorruptFile, "not what the manifest"),
    "labels that do not fit": (
        _edit(lambda m: m["postprocessing"].update(labels=["one"])), InvalidManifest, "1 labels"),
    "traversal": (_rename_in_manifest(GRAPH, "../onnx/model.onnx"), CorruptFile, "not a plain path"),
    "traversal in the middle": (_rename_in_manifest(GRAPH, "onnx/../../m.onnx"), CorruptFile, "not a plain path"),
    "absolute path": (_rename_in_manifest(GRAPH, "/etc/passwd"), CorruptFile, "not a plain path"),
    "drive letter": (_rename_in_manifest(GRAPH, "C:/model.onnx"), CorruptFile, "not a plain path"),
    "backslashes": (_rename_in_manifest(GRAPH, "..\\model.onnx"), CorruptFile, "not a plain path"),
    "NUL in a name": (_rename_in_manifest(GRAPH, "onnx/model.onnx\0.txt"), CorruptFile, "not a plain path"),
    "empty name": (_rename_in_manifest(GRAPH, ""), CorruptFile, "not a plain path"),
    "dot": (_rename_in_manifest(GRAPH, "."), CorruptFile, "not a plain path"),
    "doubled slash": (_rename_in_manifest(GRAPH, "onnx//model.onnx"), CorruptFile, "not a plain path"),
    "link out of the artifact": (_link_out(GRAPH), CorruptFile, "outside the artifact"),
    "tokenizer linked out": (_link_out("tokenizer.json"), CorruptFile, "outside the artifact"),
    "folder linked out": (_link_folder_out, CorruptFile, "outside the artifact"),
    "link to nothing": (
        lambda f: [(f / GRAPH).unlink(), (f / GRAPH).symlink_to(f / "onnx" / "nothing")], MissingFile, "not there"),
}  # fmt: skip

EXTERNAL: dict[str, tuple[Damage, type[ArtifactError], str]] = {
    "data is missing": (lambda f: (f / "onnx" / DATA).unlink(), MissingFile, "not there"),
    "data is cut": (_truncate(f"onnx/{DATA}"), CorruptFile, "the manifest says"),
    "one bit of the data": (_flip(f"onnx/{DATA}"), CorruptFile, "SHA-256"),
    "data linked out": (_link_out(f"onnx/{DATA}"), CorruptFile, "outside the artifact"),
    "data that the manifest hides": (
        _edit(lambda m: m["variants"]["fp32"]["graphs"]["model"].update(external=[])), CorruptFile, "external data"),
    "data that the graph does not use": (
        _edit(lambda m: m["variants"]["fp32"]["graphs"]["model"]["external"].append("tokenizer.json")),
        CorruptFile, "external data"),
}  # fmt: skip


def test_the_sound_artifacts_work(tmp_path: Path) -> None:
    for external in (False, True):
        folder = write_artifact(tmp_path / str(external), external=external)
        with onnxpress.pipeline(model=folder) as pipe:
            assert pipe(["a very good film", "bad"], function_to_apply="none") == [
                {"label": "good", "score": 1.0},
                {"label": "bad", "score": 1.0},
            ]


@pytest.mark.parametrize("name", ARTIFACTS)
def test_a_damaged_artifact_is_refused_by_name(name: str, tmp_path: Path) -> None:
    _refused(write_artifact(tmp_path / "artifact"), *ARTIFACTS[name])


@pytest.mark.parametrize("name", EXTERNAL)
def test_damaged_external_data_is_refused_by_name(name: str, tmp_path: Path) -> None:
    _refused(write_artifact(tmp_path / "artifact", external=True), *EXTERNAL[name])


#: Its two gigabytes are hashed before anything is refused; unit/graphcheck/test_scan.py refuses it unsealed.
HUGE = "larger_than_protobuf_allows"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly if name == HUGE else ()) for name in BAD_GRAPHS]
)
def test_a_hostile_graph_in_a_sealed_artifact_is_refused(name: str, tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "artifact")
    value = parse((folder / FILE_NAME).read_bytes())
    (folder / GRAPH).unlink()
    BAD_GRAPHS[name].build(folder / "onnx")
    _seal_what_is_there(folder, value)
    with pytest.raises(ArtifactError):
        onnxpress.pipeline(model=folder)("good")


def _seal_what_is_there(folder: Path, value: Any) -> None:
    with suppress(OSError):  # a link to itself: the manifest can at best keep what it said
        seal(folder, value)


def _refused(folder: Path, damage: Damage, error: type[ArtifactError], says: str) -> None:
    damage(folder)
    with pytest.raises(error, match=says) as caught:
        onnxpress.pipeline(model=folder)("good")
    assert type(caught.value) is error


def test_more_than_forty_are_refused() -> None:
    assert len(ARTIFACTS) + len(EXTERNAL) >= 40


def test_the_command_line_shows_one_line_and_no_traceback(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "artifact")
    _flip(GRAPH)(folder)
    done = subprocess.run(
        [sys.executable, "-m", "onnxpress", "run", str(folder), "good"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and "SHA-256" in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_such_folder() -> None:
    with pytest.raises(MissingFile, match="no such folder"):
        onnxpress.Artifact.open("./not/here")
