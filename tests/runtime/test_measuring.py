"""Variants that nobody timed here: timed where the caller allows it, remembered, and every task's probe answered."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import onnxpress
from onnxpress.cli.main import program
from onnxpress.engine import remembered
from onnxpress.engine.machine import features
from onnxpress.format.hashing import sha256
from onnxpress.format.manifest import FILE_NAME, FileInfo, GraphFiles, Quality, Speed, Timing, Variant, dump
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines import TASKS, measuring
from onnxpress.pipelines.probe import probe_of

from ..fixtures.artifacts import write_artifact
from ..fixtures.manifests import manifest


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A classifier of which q8 has the same graph as fp32 and the same answers, and nobody timed it."""
    folder = write_artifact(tmp_path / "artifact")
    opened = Artifact.open(folder).manifest
    plain = opened.variants["fp32"]
    name = plain.graphs["model"].file.replace(".onnx", "_quantized.onnx")
    (folder / name).write_bytes((folder / plain.graphs["model"].file).read_bytes())
    files = {**opened.files, name: FileInfo((folder / name).stat().st_size, sha256(folder / name))}
    quality = Quality("PyTorch", 1, 1, 0.0, 1.0, 0.0, 1.0, {"label agreement": 1.0})
    graphs = {"model": GraphFiles(name, (), plain.graphs["model"].opsets)}
    q8 = Variant(graphs, plain.bytes, quality=quality)
    (folder / FILE_NAME).write_text(dump(replace(opened, variants={"fp32": plain, "q8": q8}, files=files)))
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ONNXPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ONNXPRESS_MEASURE", raising=False)
    monkeypatch.setattr(measuring, "BUDGET_S", 0.0)
    return tmp_path / "cache"


def test_nothing_is_timed_unless_it_is_allowed(artifact: Path, cache: Path) -> None:
    with onnxpress.pipeline(model=artifact) as pipe:
        assert pipe.precision == "fp32"
        assert pipe.choice.reason == "the most exact; q8 was not measured on a processor like this one"
    assert not cache.exists()


def test_what_is_timed_decides_and_is_remembered(artifact: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_over", lambda *arguments: 0.25)
    monkeypatch.setenv("ONNXPRESS_MEASURE", "1")
    with onnxpress.pipeline(model=artifact) as pipe:
        assert pipe.precision == "q8"
        assert pipe.choice.reason == "the same answers in 0.25 of fp32's time, measured on this machine"
    monkeypatch.delenv("ONNXPRESS_MEASURE")
    monkeypatch.undo()
    monkeypatch.setenv("ONNXPRESS_CACHE", str(cache))
    with onnxpress.pipeline(model=artifact) as pipe:
        assert pipe.precision == "q8"
    (kept,) = (cache / "times").iterdir()
    assert json.loads(kept.read_text()) == {"q8": 0.25}
    kept.write_text("{")  # damaged: as if nothing were remembered
    with onnxpress.pipeline(model=artifact, precision="exact") as pipe:
        assert pipe.precision == "fp32"
    with onnxpress.pipeline(model=artifact) as pipe:
        assert pipe.precision == "fp32"


@pytest.mark.parametrize("without_fp32", [False, True])
def test_no_door_opens_answers_that_are_only_close(artifact: Path, without_fp32: bool) -> None:
    """Though they were the fastest on such a processor: in a pipeline, a model, a session, a command."""
    opened = Artifact.open(artifact).manifest
    fast = Speed("some processor", 2, (Timing(1, 16, 0.1, None, 1.0),), tuple(features()))
    close = Quality("PyTorch", 1, 1, 0.0, 1.0, 0.0, 1.0, {"label agreement": 0.97})
    exact, q8 = opened.variants["fp32"], opened.variants["q8"]
    judged = replace(exact, quality=q8.quality)
    q4 = replace(q8, quality=close, speed=fast)
    variants = {"q8": judged, "q4": q4} if without_fp32 else {"fp32": exact, "q8": q4}
    (artifact / FILE_NAME).write_text(dump(replace(opened, variants=variants)))
    expected, file = next(iter(variants)), artifact / exact.graphs["model"].file
    with onnxpress.pipeline(model=artifact) as pipe, onnxpress.load(artifact) as model:
        again = pickle.loads(pickle.dumps(pipe))
        shared = onnxpress.pipeline("text-classification", pipe)
        assert {pipe.precision, model.precision, again.precision, shared.precision} == {expected}
    session = onnxpress.Session(artifact)
    assert session.graphs["model"] == file
    session.close()
    shown = CliRunner().invoke(program, ["inspect", str(artifact)]).output
    assert f"On this machine: {expected}" in shown, shown


def test_it_really_asks_both(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXPRESS_MEASURE", "1")
    with onnxpress.pipeline(model=artifact) as pipe:
        assert "measured on this machine" in pipe.choice.reason


def test_a_cache_that_cannot_be_written_only_forgets(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ONNXPRESS_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("ONNXPRESS_MEASURE", "1")
    monkeypatch.setattr(measuring, "_over", lambda *arguments: 0.25)
    with onnxpress.pipeline(model=artifact) as pipe:
        assert pipe.precision == "q8"
    assert "ONNXPRESS_CACHE" in caplog.text


def test_times_depend_on_files_device_and_threads() -> None:
    found = manifest()
    keys = {
        remembered.key_of(found, ["fp32"], "cpu", 1),
        remembered.key_of(found, ["fp32"], "cpu", 2),
        remembered.key_of(found, ["fp32"], "cuda:0", 1),
        remembered.key_of(replace(found, files=dict.fromkeys(found.files, FileInfo(1, "1" * 64))), ["fp32"], "cpu", 1),
    }
    assert len(keys) == 4


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_task_has_a_probe(task: str) -> None:
    call = probe_of(TASKS[task], replace(manifest(), task=task))
    assert len(call.inputs) == 1 and "{mask}" not in str(call.inputs)
