"""The one flow, from both sides: what it leaves behind, what it records, and models that write judged as others are."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import onnx_ir
import pytest
import torch

import onnxpress
from onnxpress.errors import InputError
from onnxpress_exporter import export
from onnxpress_exporter.errors import VariantRefused
from onnxpress_exporter.flow import quantize
from onnxpress_exporter.gate import lengths
from onnxpress_exporter.judging.data import EvalData
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.quantize import quantizer
from onnxpress_exporter.quantize.settings import Settings
from tests.conftest import Exported
from tests.fixtures.processes import HANG_S

MODELS = Path(__file__).parents[2] / "models"


def test_torch_has_as_many_threads_after_an_export_as_before(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 3)
    try:
        export(MODELS / "tiny-lm", tmp_path / "out")
        assert torch.get_num_threads() == before + 3
    finally:
        torch.set_num_threads(before)


def test_two_threads_export_to_one_target(tmp_path: Path) -> None:
    """One of them does; the other is told that it is there."""
    results: list[onnxpress.Artifact | InputError] = []

    def run() -> None:
        try:
            results.append(export(MODELS / "tiny-lm", tmp_path / "out"))
        except InputError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=HANG_S)
    (refused,) = [result for result in results if isinstance(result, InputError)]
    (made,) = [result for result in results if not isinstance(result, InputError)]
    assert "exists already" in str(refused)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with onnxpress.pipeline(model=made) as pipe:
        assert pipe("The horse", max_new_tokens=2)


def test_quantize_records_its_command(tmp_path: Path) -> None:
    prose = export(MODELS / "tiny-lm", tmp_path / "prose", command="how it was exported")
    made = quantize(prose.folder, "fp16", tmp_path / "out", command="onnxpress quantize prose")
    assert made.manifest.provenance.command == "how it was exported && onnxpress quantize prose"
    assert prose.manifest.provenance.command == "how it was exported"


def test_what_is_not_quantized_is_told_by_its_graph(exported: Exported, tmp_path: Path) -> None:
    made = quantize(exported(MODELS / "tiny-embedder").folder, "fp16", tmp_path / "out")
    graphs = made.manifest.variants["fp16"].graphs
    assert {name: graph.precision for name, graph in graphs.items()} == {"model": None, "head": "fp32"}
    assert graphs["head"].file == made.manifest.variants["fp32"].graphs["head"].file


def _rows(name: str, folder: Path, fields: dict[str, str], count: int) -> EvalData:
    """Some of the trained checkpoint's own rows."""
    lines = (MODELS / name / ("texts.jsonl" if name == "tiny-lm" else "examples.jsonl")).read_text().splitlines()
    rows = [json.loads(line) for line in lines[:count]]
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({ours: row[its] for ours, its in fields.items()}) + "\n" for row in rows))
    return EvalData(str(path))


def test_a_language_model_is_judged_by_the_tokens_it_prefers(tmp_path: Path) -> None:
    rows = _rows("tiny-lm", tmp_path, {"text": "text"}, 12)
    made = export(MODELS / "tiny-lm", tmp_path / "out", None, ("fp32", "q8"), quantization=Settings(evaluation=rows))
    quality = made.manifest.variants["q8"].quality
    assert (
        quality is not None
        and quality.reference == "PyTorch fp32, eager; the task's metric on 12 rows of tiny-lm.jsonl"
    )
    reference = quality.measures["token accuracy of the reference"]
    assert reference > 0.2  # it was trained on texts like these
    assert quality.measures["token accuracy"] == pytest.approx(reference, abs=0.005)
    assert quality.measure_limits["token accuracy loss"] == 0.005
    # And without PyTorch: the reference is the same.
    again = quantize(made.folder, "fp16", settings=Settings(evaluation=rows))
    other = again.manifest.variants["fp16"].quality
    assert other is not None and other.measures["token accuracy of the reference"] == pytest.approx(reference, abs=1e-3)


def test_of_a_large_model_less_is_asked_and_the_same_is_written(
    monkeypatch: pytest.MonkeyPatch, exported: Exported, tmp_path: Path
) -> None:
    """A small model that counts as large: fewer texts, channels watched each for itself, weights rounded likewise."""
    monkeypatch.setattr(lengths, "LARGE", 1)
    monkeypatch.setattr(quantizer, "MOST_INTEGERS", 1)
    plain, usual = exported(MODELS / "tiny-lm"), exported(MODELS / "tiny-lm", None, ("fp32", "q8", "q4"))
    as_small = usual.manifest.variants["q8"].quality
    assert as_small is not None
    variants = quantize(plain.folder, ("int8", "q8"), tmp_path / "out").manifest.variants
    for name, agreement in (("int8", 0.96), ("q8", as_small.measures["next-token agreement"] - 0.005)):
        quality = variants[name].quality
        assert quality is not None and quality.measures["next-token agreement"] >= agreement
        verified = plain.manifest.variants["fp32"].quality
        assert verified is not None and 3 <= quality.inputs < verified.inputs
    nodes = [node.op_type for node in onnx_ir.load(tmp_path / "out/onnx/model_int8.onnx").graph]
    assert "MatMul" not in nodes and "MatMulIntegerToFloat" in nodes


def test_a_translator_is_judged_by_what_it_writes(tmp_path: Path) -> None:
    rows = _rows("tiny-translator", tmp_path, {"text": "text", "translation": "translation"}, 12)
    made = export(
        MODELS / "tiny-translator", tmp_path / "out", None, ("fp32", "q8"), quantization=Settings(evaluation=rows)
    )
    quality = made.manifest.variants["q8"].quality
    assert quality is not None
    assert quality.measures["ROUGE-L of the reference"] > 0.8  # it was trained to
    assert quality.measures["ROUGE-L loss"] <= 0.005
    assert quality.measures["exact match"] > 0.5


def test_a_model_that_writes_is_refused_by_its_metric(tmp_path: Path) -> None:
    rows = _rows("tiny-lm", tmp_path, {"text": "text"}, 4)
    settings = Settings({"token accuracy loss": -1.0}, 0.0, evaluation=rows)
    with pytest.raises(VariantRefused, match=r"token accuracy loss \S+, at most -1 is needed"):
        export(MODELS / "tiny-lm", tmp_path / "out", None, ("q8",), quantization=settings)
    assert not (tmp_path / "out").exists()


def test_rows_without_the_columns_of_the_task_are_refused(tmp_path: Path) -> None:
    rows = _rows("tiny-translator", tmp_path, {"text": "text"}, 2)
    with pytest.raises(InputError, match="translation needs columns for source, target"):
        export(
            MODELS / "tiny-translator", tmp_path / "out", None, ("fp32", "q8"), quantization=Settings(evaluation=rows)
        )


@pytest.mark.nightly  # test_trained_writers.py shows the schemes, unit/quantize/test_repair.py the search
def test_a_model_that_writes_is_repaired_by_layers(tmp_path: Path) -> None:
    """No scheme of 4 bits keeps so much of what it expects; with the worst layers in more bits it does."""
    settings = Settings({"next-token agreement": 0.9}, repair_s=200)
    made = export(MODELS / "tiny-lm", tmp_path / "out", None, ("fp32", "q4"), quantization=settings)
    variant = made.manifest.variants["q4"]
    assert variant.quality is not None and variant.quality.measures["next-token agreement"] >= 0.9
    schemes = [line for line in variant.repair if "more exactly" not in line]
    assert len(variant.repair) > len(schemes) == sum(not scheme.exact for scheme in PRECISIONS["q4"].schemes)
    assert any(how.endswith("the answers need it") for how in variant.treatments.values())
    with onnxpress.pipeline(model=made, precision="q4") as pipe:
        assert pipe("The horse", max_new_tokens=4)
