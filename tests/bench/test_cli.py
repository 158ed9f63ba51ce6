"""`onnxpress bench` as people run it: real processes on a tiny model, and what happens when one of them fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxpress import Artifact
from onnxpress.errors import OnnxpressError
from onnxpress_bench import process
from onnxpress_bench.cli import bench_command
from onnxpress_bench.errors import BenchError, WorkerFailed
from onnxpress_bench.record import read_record
from onnxpress_bench.report.terminal import render
from tests.fixtures.console import complaints
from tests.fixtures.labelled import write_rows
from tests.fixtures.processes import HANG_S

pytest.importorskip("torch")
pytest.importorskip("transformers")

LATENCY, THROUGHPUT, COLD = "latency p50", "mixed lengths", "cold start"


@pytest.fixture(scope="module")
def folders(
    tiny: Callable[..., Path], exported: Callable[..., Artifact], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A tiny checkpoint with random weights, and its artifact, beside each other."""
    base = tmp_path_factory.mktemp("bench")
    checkpoint = tiny("distilbert", "text-classification")
    artifact = exported(checkpoint, "text-classification").folder
    return shutil.copytree(checkpoint, base / checkpoint.name), shutil.copytree(artifact, base / "artifact")


def bench(artifact: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """From the folder that the artifact is in, beside its checkpoint."""
    command = [
        sys.executable,
        "-m",
        "onnxpress",
        "bench",
        *map(str, (artifact, *arguments)),
        "--quick",
        "--threads",
        "1",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, cwd=artifact.parent)


def refusal(artifact: Path, *arguments: str) -> str:
    """What a call is told that measures nothing: in this process, which has imported everything already."""
    result = CliRunner().invoke(bench_command, [str(artifact), *arguments, "--quick", "--threads", "1"])
    assert isinstance(result.exception, (OnnxpressError, SystemExit)), result.exception
    told = result.stderr if isinstance(result.exception, SystemExit) else str(result.exception)
    return " ".join(told.split())


@pytest.mark.nightly
def test_speed_and_quality_stand_side_by_side(folders: tuple[Path, Path], tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": f"text {i}", "label": i % 2} for i in range(20)])
    result = bench(folders[1], "--blocks", "1", "--shape", "1x16,1x128", "--json", record, "--eval-data", rows)
    assert (result.returncode, complaints(result.stderr)) == (0, "")
    assert {"pytorch", "onnxpress fp32"} < set(result.stdout.replace("  ", "\n").split("\n"))
    for shown in (LATENCY, THROUGHPUT, COLD, "peak memory", "label agreement", "accuracy", "no interval"):
        assert shown in result.stdout

    lines = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    head, blocks, summary = lines[0], lines[1:-1], lines[-1]
    assert [head["type"], *(line["type"] for line in blocks), summary["type"]] == ["run", "block", "block", "summary"]
    assert (head["format"], head["format_version"], head["interrupted"]) == ("onnxpress-bench", 2, False)
    assert head["same_weights"] is True
    backends = {one["name"]: one for one in head["backends"]}
    assert backends["onnxpress fp32"]["quality"]["label agreement"] == 1.0
    assert backends["onnxpress fp32"]["quality"]["largest score difference"] < 1e-4
    # The task's own metric is every backend's: the base has nothing else.
    assert set(backends["pytorch"]["quality"]) == {"accuracy", "F1 macro"}
    assert backends["onnxpress fp32"]["quality"]["accuracy"] == backends["pytorch"]["quality"]["accuracy"]
    assert backends["onnxpress fp32"]["install_bytes"] < backends["pytorch"]["install_bytes"]
    assert backends["onnxpress fp32"]["model_bytes"] > 10_000 and backends["pytorch"]["padding_share"] >= 0
    assert sorted(head["order"][0]) == sorted(backends) == ["onnxpress fp32", "pytorch"]
    assert head["flops"]["1x128"] > 7 * head["flops"]["1x16"] > 0 and head["product_bytes"] > 0
    for block in blocks:
        samples = block["samples"]
        assert len(samples["latency_1x16_ms"]) >= 24 and min(samples["latency_1x16_ms"]) > 0
        parts = sum(samples[f"cold_{part}_s"][0] for part in ("python", "import", "load", "first_call"))
        assert samples["cold_start_s"][0] == pytest.approx(parts, rel=1e-3)
        assert samples["memory_peak_bytes"][0] >= samples["memory_first_bytes"][0] > 1e7
        assert block["noise"]["wall_s"] > 0
    memory = {block["backend"]: block["samples"]["memory_peak_bytes"][0] for block in blocks}
    assert memory["onnxpress fp32"] < memory["pytorch"]


def test_a_record_is_read_as_it_was_written(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Many scenarios, a control, tokenization apart; the report of what is read is the report that was printed."""
    record = tmp_path / "record.jsonl"
    result = bench(
        *(folders[1], "--backend", "onnxpress,onnxruntime", "--scenario", "single-stream,multi-stream,offline,server"),
        *("--rate", "200", "--shape", "1x8,3x8", "--tokenization", "apart", "--blocks", "2", "--control"),
        *("--json", record),
    )
    assert (result.returncode, complaints(result.stderr)) == (0, "")
    for shown in ("latency p50, 3 x", "offline", "server, latency p99", "A/A control", "tokenization apart"):
        assert shown in result.stdout
    assert render(read_record(record)) == result.stdout.removesuffix("\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a record"),
        ("{}\n", "not a record"),
        ("[1]\n", "not a record"),
        ('{"format": "onnxpress-bench", "format_version": 1}\n', "format version 1"),
        ('{"type": "run", "format": "onnxpress-bench", "format_version": 2, "task": 3}\n', "damaged record"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(BenchError, match=message):
        read_record(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "nonsense"], "There is no backend 'nonsense'"),
        (["--scenario", "nonsense"], "is not one of"),
        (["--scenario", "server"], "--p99-ms"),
        (["--shape", "big"], "ROWSxTOKENS"),
        (["--lengths", "nonsense"], "neither a file nor one of"),
        (["--eval-data", "no/such/rows.csv"], "there is no such file"),
        (["--eval-column", "text=review"], "name that, too"),
        (["--html", "no/such/folder/page.html"], "there is no folder"),
        (["--json", "/proc/record.jsonl"], "--json: "),
        (["--checkpoint", "no/such/folder"], "--checkpoint no/such/folder: there is no such folder"),
        (["--backend", "fastembed"], "fastembed knows sentence-similarity, not text-classification"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_arguments_are_named(folders: tuple[Path, Path], arguments: list[str], message: str) -> None:
    assert message in refusal(folders[1], *arguments)


def test_a_peer_that_is_not_installed_is_reported_and_the_rest_goes_on(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONNXPRESS_BENCH_HOME", str(tmp_path))
    result = bench(folders[1], "--backend", "onnxpress,openvino", "--blocks", "1")
    assert result.returncode == 1
    assert "FAILED: openvino in the pilot: " in result.stdout and "onnxpress peers --install openvino" in result.stdout
    assert LATENCY in result.stdout


def test_a_backend_that_fails_is_reported_and_the_rest_goes_on(folders: tuple[Path, Path], tmp_path: Path) -> None:
    broken = shutil.copytree(folders[0], tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    result = bench(folders[1], "--checkpoint", broken, "--blocks", "1")
    assert result.returncode == 1
    assert complaints(result.stderr) == ""
    assert "FAILED: pytorch in the pilot: " in result.stdout
    assert LATENCY in result.stdout and "label agreement" not in result.stdout


def test_a_checkpoint_that_is_not_there_is_asked_for(folders: tuple[Path, Path], tmp_path: Path) -> None:
    moved = shutil.copytree(folders[1], tmp_path / "moved")
    assert "--checkpoint FOLDER_OR_HUB_ID" in refusal(moved)


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
from onnxpress_bench.report.terminal import render
from onnxpress_bench.subject import of_artifact
def progress(title, done, total):
    if "block 2" in title:
        raise KeyboardInterrupt
settings = settings_for(True, blocks=2, threads=1, seed=0)
subject = of_artifact(Artifact.open({str(folders[1])!r}), {str(tmp_path)!r}, settings)
print(render(run(subject, settings, progress=progress)))
print("HEAVY", {{"torch", "transformers", "onnxruntime"}} & set(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=HANG_S)
    assert (result.returncode, complaints(result.stderr)) == (0, "")
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
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)  # type: ignore[attr-defined]
        return worker

    monkeypatch.setattr(process.subprocess, "Popen", doomed)
    with pytest.raises(WorkerFailed, match="killed by SIGKILL"):
        process.ask({"do": "pilot"}, threads=1)
