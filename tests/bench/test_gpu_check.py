"""The check for a GPU, rehearsed on the processor: it refuses politely, and every way through it works."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import pytest
import torch
from click.testing import CliRunner

from onnxpress.engine.session import Session
from onnxpress_bench.gpu_check import requirements
from onnxpress_bench.gpu_check.budget import Budget
from onnxpress_bench.gpu_check.check import FORMAT, check, writer
from onnxpress_bench.gpu_check.cli import main
from onnxpress_bench.gpu_check.hollow import empty, fill
from onnxpress_bench.gpu_check.place import Place
from onnxpress_bench.gpu_check.placement import placed
from onnxpress_bench.gpu_check.prepare import prepare
from onnxpress_bench.gpu_check.prepared import ARTIFACTS, MODELS, PREPARED
from onnxpress_bench.gpu_check.report import lines
from onnxpress_bench.gpu_check.rows import COVERED, PARITY, REHEARSAL, SPEED, Rows
from onnxpress_bench.gpu_check.timed import REHEARSED, time_in_turn
from onnxpress_exporter.tasks import TASKS
from tests.conftest import Exported


def test_where_there_is_no_gpu_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = CliRunner().invoke(main, [])
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("gpu-check needs an NVIDIA GPU, and PyTorch")
    assert "--rehearse" in result.stderr


def test_a_build_without_cuda_and_a_missing_module_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert "is a build without it: pip uninstall onnxruntime" in str(requirements.lacking(rehearses=False))
    monkeypatch.setattr(requirements, "find_spec", lambda name: None if name == "onnx_ir" else object())
    assert requirements.lacking(rehearses=True) == (
        "gpu-check needs onnx_ir, which is not installed: pip install onnx-ir."
    )


def test_every_task_has_a_row_or_a_reason() -> None:
    assert {row.task for row in PARITY} | set(COVERED) == set(TASKS)
    assert all(row.source.is_dir() for row in PARITY)
    assert len({row.name for row in (*PARITY, *SPEED)}) == len(PARITY) + len(SPEED)
    assert all(set(row.compiled_shapes) <= set(row.shapes) for row in (*SPEED, *REHEARSAL.speed))


def test_nodes_on_the_host_are_those_that_compute_with_numbers() -> None:
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    nodes = [(cuda, "MatMul"), (cuda, "MatMul"), (cpu, "Shape"), (cpu, "Gather"), (cpu, "MatMulIntegerToFloat")]
    placement = placed(nodes, cuda)
    assert placement.nodes == {cuda: 2, cpu: 3}
    assert placement.host_operators == {"MatMulIntegerToFloat": 1}
    assert not placement.whole
    assert placed(nodes[:4], cuda).whole
    assert placed([(cpu, "MatMul")], cpu).whole


def test_what_there_is_no_time_for_is_named() -> None:
    now = 0.0
    budget = Budget(100, lambda: now)
    assert budget.allows("first", 60)
    now = 70.0
    assert not budget.allows("second", 60)
    assert budget.allows("third", 30)
    assert budget.left_out == ["second: about 60 s, and 30 s were left"]


def test_a_candidate_that_fails_is_named_and_the_others_are_timed() -> None:
    def breaks() -> None:
        raise RuntimeError("no compiler here\nlong story")

    timed, failures = time_in_turn({"first": breaks, "second": int, "third": int}, REHEARSED)
    assert [entry.name for entry in timed] == ["second", "third"]
    assert (timed[0].gain, failures) == (1, ["first: RuntimeError: no compiler here"])
    assert time_in_turn({"first": breaks}, REHEARSED)[0] == []


def test_weights_are_made_anew_from_what_they_were(tmp_path: Path) -> None:
    weights = onnx_ir.Value(name="w", const_value=onnx_ir.tensor(np.ones((64, 64), np.float16), name="w"))
    x = onnx_ir.Value(name="x", shape=onnx_ir.Shape(["rows", 64]), type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT16))
    node = onnx_ir.node("MatMul", [x, weights])
    graph = onnx_ir.Graph([x], node.outputs, nodes=[node], initializers=[weights], opset_imports={"": 20})
    node.outputs[0].type = onnx_ir.TensorType(onnx_ir.DataType.FLOAT16)
    path = tmp_path / "model.onnx"
    onnx_ir.save(onnx_ir.Model(graph, ir_version=10), path, external_data="model.onnx_data")
    data = tmp_path / "model.onnx_data"
    size = data.stat().st_size
    empty(path)
    assert not data.exists()
    fill(path)
    first = data.read_bytes()
    assert len(first) == size
    data.unlink()
    fill(path)
    assert data.read_bytes() == first
    output = Session({"model": path}).run({"x": np.ones((1, 64), np.float16)})
    assert 0.05 < float(np.concatenate(list(output.values())).std()) < 0.5


def _rehearse(folder: Path, rows: Rows) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    record, budget = folder / "record.jsonl", Budget(480)
    summary = check(folder / "prepared", rows, Place("cpu", rehearses=True), budget, writer(record), lambda what: None)
    return summary, [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]


def test_a_rehearsal_compares_answers_and_times_a_decoder(tmp_path: Path, exported: Exported) -> None:
    answers = replace(REHEARSAL.parity[0], precisions=("fp32",))
    decoder = replace(REHEARSAL.speed[1], precisions=("fp16",), shapes=((2, 4),), compiled_shapes=(), new_tokens=2)
    folder = tmp_path / "prepared"
    prepare(folder, Rows((), (decoder,)), lambda what: None)
    shutil.copytree(exported(answers.source).folder, folder / ARTIFACTS / answers.name)
    shutil.copytree(answers.source, folder / MODELS / answers.checkpoint)
    content = json.loads((folder / PREPARED).read_text(encoding="utf-8"))
    (folder / PREPARED).write_text(json.dumps({**content, "refused": {answers.name: {}}}), encoding="utf-8")
    summary, entries = _rehearse(tmp_path, Rows((answers,), (decoder,)))
    assert (summary["failures"], summary["left_out"]) == ([], [])
    assert [entry["type"] for entry in entries] == ["run", "parity", "speed", "speed", "speed", "summary"]
    assert [time["name"] for time in entries[3]["times"]] == [
        *("transformers bf16", "transformers fp16", "onnxpress fp16"),
    ]


@pytest.mark.nightly
def test_a_rehearsal_goes_every_way(tmp_path: Path) -> None:
    prepare(tmp_path / "prepared", REHEARSAL, lambda what: None)
    summary, entries = _rehearse(tmp_path, REHEARSAL)
    assert summary["failures"] == []
    assert summary["left_out"] == []
    head, answers, *_ = entries
    assert len([entry for entry in entries if entry["type"] == "parity"]) == 4
    assert (head["format"], head["rehearsal"], head["not_built_yet"]) == (FORMAT, True, ["ViT-base", "Whisper-base"])
    assert answers["placement"]["model"]["host_operators"] == {}
    for name in ("beside the processor's fp32", "beside PyTorch fp32"):
        assert answers[name]["max_error"] < answers[name]["max_error_limit"]
        assert answers[name]["figures"]["label agreement"] == 1
    times = [entry for entry in entries if entry.get("kind") == "times"]
    assert {(entry["row"], entry["batch"], entry.get("new_tokens")) for entry in times} == {
        *(("tiny encoder", rows, None) for rows in (1, 2)),
        *(("tiny decoder", rows, new) for rows in (1, 2) for new in (1, 4)),
    }
    (compiled,) = (entry for entry in times if (entry["row"], entry["batch"]) == ("tiny encoder", 1))
    assert [time["name"] for time in compiled["times"]] == [
        *("PyTorch fp16", "PyTorch bf16", "onnxpress fp32", "onnxpress fp16"),
        *("PyTorch fp16, compiled", "PyTorch bf16, compiled"),
    ]
    text = list(lines(entries))
    assert text[-1].startswith("passed in")
    assert any("memory on the device: transformers bf16" in line for line in text)


def test_a_row_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    """Nothing was prepared; and for the last row there is no time."""
    (tmp_path / "prepared").mkdir()
    content = {"refused": {row.name: {} for row in REHEARSAL.parity}, "graphs": {}}
    (tmp_path / "prepared" / "prepared.json").write_text(json.dumps(content))
    record = tmp_path / "record.jsonl"
    rows = replace(REHEARSAL, speed=REHEARSAL.speed[:1])
    now = 0.0

    def passes(what: str) -> None:
        nonlocal now
        now = 90.0

    summary = check(
        tmp_path / "prepared",
        rows,
        Place("cpu", rehearses=True),
        Budget(100, lambda: now),
        writer(record),
        passes,
    )
    assert not summary["passed"]
    assert len(summary["failures"]) == 1
    assert "tiny-sentiment-text-classification" in summary["failures"][0]
    assert [what.partition(":")[0] for what in summary["left_out"]] == ["tiny-lm-text-generation", "tiny encoder"]
    assert any(line.startswith("FAILED") for line in lines(list(map(json.loads, record.read_text().splitlines()))))
