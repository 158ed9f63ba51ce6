"""`onnxpress bench` as people run it: real processes on a tiny model, and what happens when one of them fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from onnxpress_bench import process
from onnxpress_bench.errors import WorkerFailed

pytest.importorskip("torch")
pytest.importorskip("transformers")

LATENCY, THROUGHPUT, COLD = "latency p50", "throughput", "cold start"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny checkpoint with random weights, and its artifact."""
    from onnxpress_exporter import export
    from tests.fixtures.tiny import tiny_checkpoint

    base = tmp_path_factory.mktemp("bench")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoint = tiny_checkpoint("distilbert", "text-classification", base / "checkpoint")
    return checkpoint, export(checkpoint, base / "artifact").folder


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "onnxpress", "bench", *map(str, arguments), "--quick", "--threads", "1"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_speed_and_quality_stand_side_by_side(folders: tuple[Path, Path], tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    result = bench(folders[1], "--blocks", "1", "--json", record)
    assert (result.returncode, result.stderr) == (0, "")
    assert {"pytorch", "onnxpress fp32"} < set(result.stdout.replace("  ", "\n").split("\n"))
    for shown in (LATENCY, THROUGHPUT, COLD, "peak memory", "label agreement", "no interval"):
        assert shown in result.stdout

    value = json.loads(record.read_text(encoding="utf-8"))
    assert (value["format"], value["format_version"], value["interrupted"]) == ("onnxpress-bench", 1, False)
    assert value["same_weights"] is True
    assert value["quality"]["onnxpress fp32"]["label agreement"] == 1.0
    assert value["quality"]["onnxpress fp32"]["largest score difference"] < 1e-4
    assert sorted(value["order"][0]) == sorted(value["backends"]) == ["onnxpress fp32", "pytorch"]
    for run in value["runs"]:
        samples = run["samples"]
        assert len(samples["latency_short_ms"]) >= 24 and min(samples["latency_short_ms"]) > 0
        parts = sum(samples[f"cold_{part}_s"][0] for part in ("python", "import", "load", "first_call"))
        assert samples["cold_start_s"][0] == pytest.approx(parts)
        assert samples["memory_peak_bytes"][0] >= samples["memory_first_bytes"][0] > 1e7
    memory = {run["backend"]: run["samples"]["memory_peak_bytes"][0] for run in value["runs"]}
    assert memory["onnxpress fp32"] < memory["pytorch"]


def test_a_backend_that_fails_is_reported_and_the_rest_goes_on(folders: tuple[Path, Path], tmp_path: Path) -> None:
    broken = shutil.copytree(folders[0], tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    result = bench(folders[1], "--checkpoint", broken, "--blocks", "1")
    assert result.returncode == 1
    assert result.stderr == ""
    assert "FAILED: pytorch in the pilot: " in result.stdout
    assert LATENCY in result.stdout and "label agreement" not in result.stdout


def test_a_checkpoint_that_is_not_there_is_asked_for(folders: tuple[Path, Path], tmp_path: Path) -> None:
    moved = shutil.copytree(folders[1], tmp_path / "moved")
    manifest = moved / "onnxpress.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(str(folders[0]), "owner/gone"), encoding="utf-8")
    result = bench(moved)
    assert result.returncode == 1
    assert "--checkpoint FOLDER_OR_HUB_ID" in result.stderr and "Traceback" not in result.stderr


def test_an_unknown_precision_is_refused(folders: tuple[Path, Path]) -> None:
    result = bench(folders[1], "--precision", "q4")
    assert result.returncode == 1
    assert "no q4 variant" in result.stderr


def test_ctrl_c_keeps_what_was_measured(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Interrupted before the second block. PyTorch, whose checkpoint is an empty folder here, is out by then."""
    script = f"""
import _thread, sys
from onnxpress import Artifact
from onnxpress_bench.run import run, settings_for
from onnxpress_bench.report import render
def progress(title, done, total):
    if "block 2" in title:
        raise KeyboardInterrupt
settings = settings_for(True, blocks=2, threads=1, seed=0)
print(render(run(Artifact.open({str(folders[1])!r}), {str(tmp_path)!r}, settings, progress=progress)))
print("HEAVY", {{"torch", "transformers", "onnxruntime"}} & set(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert (result.returncode, result.stderr) == (0, "")
    assert "INTERRUPTED" in result.stdout and "medians of 1 block " in result.stdout
    assert "FAILED: pytorch" in result.stdout and LATENCY in result.stdout
    assert "HEAVY set()" in result.stdout, "the measuring process must stay light"


def test_a_worker_dies_with_its_parent_s_wait() -> None:
    with pytest.raises(WorkerFailed, match="no answer within"):
        process.ask({"do": "pilot"}, threads=1, timeout_s=0.0)


def test_the_last_words_of_a_worker_are_its_error() -> None:
    with pytest.raises(WorkerFailed, match=r"KeyError: 'no such job'"):
        process.ask({"do": "no such job"}, threads=1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals are POSIX's")
def test_a_killed_worker_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.Popen

    def doomed(*arguments: object, **options: object) -> object:
        worker = real(*arguments, **options)  # type: ignore[call-overload]
        os.kill(worker.pid, signal.SIGKILL)
        time.sleep(0.1)
        return worker

    monkeypatch.setattr(process.subprocess, "Popen", doomed)
    with pytest.raises(WorkerFailed, match="killed by SIGKILL"):
        process.ask({"do": "pilot"}, threads=1)
