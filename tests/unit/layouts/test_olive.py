"""Olive's folders and those of transformers.exporters: which graphs they name, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import onnxpress
from onnxpress.errors import ArtifactError, CorruptFile, UnsupportedFormat

from ...fixtures.foreign import write_foreign
from ...fixtures.foreign_decoders import Shape, write_decoder
from .test_decoders import check

TEXTS = ["good", "a very bad film"]


def write_olive(folder: Path, name: str = "optimized.onnx", *, keep_config: bool = True, **config: Any) -> Path:
    """A classifier as Olive writes one; entries over those of its handler's file."""
    write_foreign(folder, name)
    attributes = json.loads((folder / "config.json").read_text())
    if not keep_config:
        (folder / "config.json").unlink()
    content = {"model_path": "/home/somebody/out", "onnx_file_name": name, "model_attributes": attributes, **config}
    (folder / "model_config.json").write_text(json.dumps({"type": "ONNXModel", "config": content}))
    return folder


@pytest.mark.parametrize("keep_config", [True, False])
@pytest.mark.parametrize("config", [{}, {"onnx_file_name": None, "model_path": "C:\\out\\optimized.onnx"}])
def test_olive_s_graph_is_the_named_one(config: dict[str, Any], keep_config: bool, tmp_path: Path) -> None:
    folder = write_olive(tmp_path / "folder", keep_config=keep_config, **config)
    (folder / "another.onnx").write_bytes(b"no graph")
    pipe = onnxpress.pipeline(model=folder)
    assert (pipe.task, pipe.adopted.layout) == ("text-classification", "Olive")
    assert [answer["label"] for answer in pipe(TEXTS)] == ["good", "bad"]


def test_olive_s_decoder(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "folder", {"model.onnx": Shape(fused=True)})
    content = {"type": "ONNXModel", "config": {"model_path": "model.onnx"}}
    (folder / "model_config.json").write_text(json.dumps(content))
    assert check(folder).adopted.layout == "Olive"


def test_another_program_s_file_of_that_name_is_none(tmp_path: Path) -> None:
    for name, content in (("model_config.json", {"hidden": 3}), ("export.json", {"width": 2}), ("export.json", [])):
        folder = write_foreign(tmp_path / f"{name} {len(str(content))}", "model.onnx")
        (folder / name).write_text(json.dumps(content))
        if content:
            assert onnxpress.pipeline(model=folder).adopted.layout == "optimum"
        else:
            with pytest.raises(CorruptFile, match="not a JSON object"):
                onnxpress.pipeline(model=folder)


@pytest.mark.parametrize(
    ("config", "error", "says"),
    [
        ({"onnx_file_name": "../model.onnx"}, CorruptFile, "no file inside"),
        ({"onnx_file_name": "absent.onnx"}, ArtifactError, "there is no such file"),
    ],
)
def test_what_olive_cannot_name(config: dict[str, Any], error: type[Exception], says: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=says):
        onnxpress.pipeline(model=write_olive(tmp_path / "folder", **config))


def test_several_graphs_of_olive_s(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder", "model.onnx")
    (folder / "model_config.json").write_text(json.dumps({"type": "CompositeModel", "config": {}}))
    with pytest.raises(UnsupportedFormat, match="a CompositeModel of Olive's"):
        onnxpress.pipeline(model=folder)


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        ({"schema_version": 1, "export_format": "openvino", "components": {"model": {"file": "m.xml"}}},
         UnsupportedFormat, "exported as 'openvino'"),
        ({"schema_version": 1, "components": {}}, CorruptFile, "lists no components"),
        ({"schema_version": 1, "components": {"vision_encoder": {}, "decode": {}}},
         UnsupportedFormat, "components are vision_encoder, decode"),
        ({"schema_version": 1, "components": {"model": {"file": "../model.onnx"}}}, CorruptFile, "no file inside"),
        ({"schema_version": 1, "components": {"model": {"file": ["model.onnx"]}}}, CorruptFile, "names no file"),
    ],
)  # fmt: skip
def test_what_an_export_cannot_be(content: Any, error: type[Exception], says: str, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder", "model.onnx")
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    (folder / "export.json").write_text(json.dumps(content))
    with pytest.raises(error, match=says):
        onnxpress.pipeline(model=folder)


def test_a_reader_of_transformers_exporters(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder", "classifier.onnx")
    components = {"model": {"file": "classifier.onnx", "metadata": {"architecture": "BertForSequenceClassification"}}}
    (folder / "export.json").write_text(json.dumps({"schema_version": 1, "components": components}))
    pipe = onnxpress.pipeline(model=folder)
    assert (pipe.task, pipe.adopted.layout) == ("text-classification", "transformers.exporters")
    assert [answer["label"] for answer in pipe(TEXTS)] == ["good", "bad"]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ArtifactError, match="Pass tokenizer="):
        onnxpress.pipeline(model=folder)


def test_an_encoder_decoder_without_its_encoder_is_refused(tmp_path: Path) -> None:
    graphs = {"prefill.onnx": Shape(past=False), "decode.onnx": Shape(single=True)}
    folder = write_decoder(tmp_path / "folder", graphs, {"is_encoder_decoder": True})
    components = {name: {"file": f"{name}.onnx"} for name in ("prefill", "decode")}
    (folder / "export.json").write_text(json.dumps({"schema_version": 1, "components": components}))
    with pytest.raises(UnsupportedFormat, match="no encoder: this tool does not export one"):
        onnxpress.pipeline(model=folder)
