"""Decoders of other tools, adopted: their graphs keep their names, and write what they wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import onnxpress_exporter

from ..fixtures.foreign_decoders import Shape, write_decoder
from ..unit.layouts.test_decoders import EXPORTED, FIRST, check
from ..unit.layouts.test_genai import write_genai


def test_a_folder_of_transformers_exporters_is_adopted(tmp_path: Path) -> None:
    graphs = {"prefill.onnx": Shape(past=False, names=FIRST), "decode.onnx": Shape(single=True, names=EXPORTED)}
    folder = write_decoder(tmp_path / "folder", graphs)
    components = {name: {"file": f"{name}.onnx"} for name in ("prefill", "decode")}
    (folder / "export.json").write_text(json.dumps({"schema_version": 1, "components": components}))
    artifact = onnxpress_exporter.adopt(folder, tmp_path / "adopted")
    assert set(artifact.manifest.adapters) == {"model", "prompt"}
    assert check(tmp_path / "adopted").adopted is None


@pytest.mark.parametrize("shape", [Shape(fused=True, open_size=True), Shape("flat"), Shape("together")])
def test_a_folder_of_onnxruntime_genai_is_adopted(shape: Shape, tmp_path: Path) -> None:
    if shape.fused:
        folder = write_genai(tmp_path / "folder", shape)
    else:
        folder = write_decoder(tmp_path / "folder", {"model.onnx": shape}, {"n_head": 2})
    onnxpress_exporter.adopt(folder, tmp_path / "adopted")
    assert check(tmp_path / "adopted").artifact.trust == "hashed"
