"""From the Hub and back: a checkpoint is exported by its id, an artifact is opened by its id."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import onnxpress
from onnxpress.errors import CorruptFile, HubError, MissingFile, UnsupportedFormat
from onnxpress.format.hashing import sha256
from onnxpress_exporter.errors import UnsupportedCheckpoint

from ..fixtures.artifacts import DATA, GRAPH, write_artifact
from ..fixtures.foreign import imports_more, write_external, write_foreign
from .server import HubServer

SENTIMENT = Path(__file__).parents[2] / "models" / "tiny-sentiment"


@pytest.mark.parametrize("external", [False, True])
def test_an_artifact_is_opened_by_its_id(hub: HubServer, tmp_path: Path, external: bool) -> None:
    commit = hub.add_folder("org/artifact", write_artifact(tmp_path / "made", external=external))
    with onnxpress.pipeline(model="org/artifact") as pipe:
        assert pipe("good")[0]["label"] == "good"
    before = len(hub.downloads())
    assert onnxpress.pipeline(model="org/artifact", revision=commit)("bad")[0]["label"] == "bad"
    assert len(hub.downloads()) == before  # all of it is in the cache


def test_only_the_files_of_one_variant_are_downloaded(hub: HubServer, tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "made")
    manifest = json.loads((folder / "onnxpress.json").read_text())
    (folder / "onnx" / "model_fp16.onnx").write_bytes(b"half")
    manifest["files"]["onnx/model_fp16.onnx"] = {"bytes": 4, "sha256": "0" * 64}
    half = json.loads(json.dumps(manifest["variants"]["fp32"]))
    half["graphs"]["model"]["file"] = "onnx/model_fp16.onnx"
    manifest["variants"]["fp16"] = half
    (folder / "onnxpress.json").write_text(json.dumps(manifest))
    hub.add_folder("org/artifact", folder)
    artifact = onnxpress.Artifact.open("org/artifact", precision="fp32")
    assert [path.name for path in (artifact.folder / "onnx").iterdir()] == [Path(GRAPH).name]
    assert not hub.requests(pattern="*fp16*")


def test_a_file_that_differs_from_the_manifest_is_refused(hub: HubServer, tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "made", external=True)
    data = bytearray((folder / "onnx" / DATA).read_bytes())
    data[0] ^= 1
    (folder / "onnx" / DATA).write_bytes(data)
    hub.add_folder("org/artifact", folder)
    with pytest.raises(CorruptFile, match="SHA-256"):
        onnxpress.pipeline(model="org/artifact")


def test_a_repository_without_an_artifact(hub: HubServer) -> None:
    hub.add("org/model", {"config.json": b"{}"})
    with pytest.raises((MissingFile, HubError), match=r"onnxpress\.json"):
        onnxpress.Artifact.open("org/model")


def test_a_repository_that_is_not_there(hub: HubServer) -> None:
    with pytest.raises(HubError, match="org/none"):
        onnxpress.pipeline(model="org/none")


def test_a_checkpoint_is_exported_by_its_id(hub: HubServer, tmp_path: Path) -> None:
    from onnxpress_exporter import export

    commit = hub.add_folder("org/tiny-sentiment", SENTIMENT, revision="v1")
    artifact = export("org/tiny-sentiment", tmp_path / "out", revision="v1")
    provenance = artifact.manifest.provenance
    assert (provenance.source, provenance.revision, provenance.commit) == ("org/tiny-sentiment", "v1", commit)
    assert not [path for path in hub.downloads() if path.endswith("examples.jsonl")]
    assert not any(path.is_symlink() for path in artifact.folder.rglob("*"))
    row = json.loads((SENTIMENT / "examples.jsonl").read_text().splitlines()[0])
    assert onnxpress.pipeline(model=artifact)(row["text"])[0]["label"] == row["label"]


def test_pickled_weights_are_not_even_downloaded(hub: HubServer, tmp_path: Path) -> None:
    from onnxpress_exporter import export

    hub.add("org/old", {"config.json": b'{"model_type": "bert"}', "pytorch_model.bin": b"\x80\x04pickle"})
    with pytest.raises(UnsupportedCheckpoint, match="pickle"):
        export("org/old", tmp_path / "out")
    assert not [path for path in hub.downloads() if path.endswith(".bin")]
    assert list(tmp_path.glob("out*")) == []


def test_the_runtime_alone_never_asks_the_hub(hub: HubServer, tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "made")
    onnxpress.pipeline(model=folder)("good")
    assert hub.requests() == []
    assert "onnxpress.pipelines.text_classification" in sys.modules


def _with_half(folder: Path) -> Path:
    """The artifact with a second variant, whose file is no graph."""
    manifest = json.loads((folder / "onnxpress.json").read_text())
    (folder / "onnx" / "model_fp16.onnx").write_bytes(b"half")
    manifest["files"]["onnx/model_fp16.onnx"] = {"bytes": 4, "sha256": sha256(folder / "onnx" / "model_fp16.onnx")}
    half = json.loads(json.dumps(manifest["variants"]["fp32"]))
    half["graphs"]["model"]["file"] = "onnx/model_fp16.onnx"
    manifest["variants"]["fp16"] = half
    (folder / "onnxpress.json").write_text(json.dumps(manifest))
    return folder


def test_opening_fetches_the_manifest_alone(hub: HubServer, tmp_path: Path) -> None:
    hub.add_folder("org/artifact", _with_half(write_artifact(tmp_path / "made")))
    artifact = onnxpress.Artifact.open("org/artifact")
    assert list(artifact.manifest.variants) == ["fp32", "fp16"]
    assert [path.rsplit("/", 1)[1] for path in hub.downloads()] == ["onnxpress.json"]
    assert sorted(path.name for path in artifact.folder.rglob("*") if path.is_file()) == ["onnxpress.json"]


def test_files_come_when_they_are_asked_for(hub: HubServer, tmp_path: Path) -> None:
    hub.add_folder("org/artifact", _with_half(write_artifact(tmp_path / "made")))
    artifact = onnxpress.Artifact.open("org/artifact")
    assert artifact.file("tokenizer.json").is_file()
    assert not [path for path in hub.downloads() if path.endswith(".onnx")]
    assert artifact.file("onnx/model_fp16.onnx").read_bytes() == b"half"
    assert list(artifact.graphs("fp32")) == ["model"]
    assert len(hub.downloads()) == 4  # each file once


def test_every_variant_that_is_asked_for_is_fetched(hub: HubServer, tmp_path: Path) -> None:
    hub.add_folder("org/artifact", _with_half(write_artifact(tmp_path / "made")))
    artifact = onnxpress.Artifact.open("org/artifact")
    artifact.fetch(["fp32", "fp16"])
    assert sorted(path.name for path in (artifact.folder / "onnx").iterdir()) == ["model.onnx", "model_fp16.onnx"]
    before = len(hub.requests())
    artifact.fetch(["fp32", "fp16"])
    assert len(hub.requests()) == before


def test_a_variant_that_is_not_there(hub: HubServer, tmp_path: Path) -> None:
    hub.add_folder("org/artifact", write_artifact(tmp_path / "made"))
    with pytest.raises(UnsupportedFormat, match="no variant 'int8'; there is fp32"):
        onnxpress.Artifact.open("org/artifact", precision="int8")


def test_inspecting_an_id_downloads_no_weights(hub: HubServer, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from onnxpress.cli.main import program

    hub.add_folder("org/artifact", write_artifact(tmp_path / "made", external=True))
    result = CliRunner().invoke(program, ["inspect", "org/artifact"])
    assert result.exit_code == 0, result.output
    assert "text-classification" in result.output and "fp32" in result.output
    assert not hub.requests(pattern="*model*onnx*")
    assert not hub.requests(pattern="*tokenizer*")


def test_another_tool_s_repository_is_opened_by_its_id(hub: HubServer, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder")
    write_foreign(tmp_path / "other", "onnx/model_quantized.onnx", edits=[imports_more])
    (tmp_path / "other" / "onnx" / "model_quantized.onnx").rename(folder / "onnx" / "model_quantized.onnx")
    (folder / "pytorch_model.bin").write_bytes(b"not for us")
    hub.add_folder("org/foreign", folder)
    with onnxpress.pipeline("sentiment-analysis", "org/foreign") as pipe:
        assert pipe("good")[0]["label"] == "good"
        assert [fact.value for fact in pipe.adopted.facts if fact.what == "task"] == ["text-classification"]
    assert not hub.requests(pattern="*quantized*")
    assert not hub.requests(pattern="*pytorch_model*")
    before = len(hub.downloads())
    assert onnxpress.pipeline(model="org/foreign", precision="q8")("bad")[0]["label"] == "bad"
    assert len(hub.downloads()) == before + 1


def test_another_tool_s_weights_beside_its_graph_come_with_it(hub: HubServer, tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "artifact", external=True)
    folder = write_foreign(tmp_path / "folder")
    for name in (Path(GRAPH).name, DATA):
        (artifact / "onnx" / name).rename(folder / "onnx" / name)
    hub.add_folder("org/foreign", folder)
    assert onnxpress.pipeline(model="org/foreign")("good")[0]["label"] == "good"


@pytest.mark.parametrize("location", ["model.onnx_data_1", "weights.onnx.data", "0d3b9e7c-1f2a-4c5e-9f00-aa"])
def test_weights_of_another_tool_come_under_any_name(hub: HubServer, tmp_path: Path, location: str) -> None:
    folder = write_external(tmp_path / "folder", location)
    (folder / "onnx" / "model_O2.onnx").write_bytes((folder / "onnx" / "model.onnx").read_bytes())
    (folder / "onnx" / "unused.bin").write_bytes(b"x")
    hub.add_folder("org/foreign", folder)
    pipe = onnxpress.pipeline(model="org/foreign")
    assert pipe("good")[0]["label"] == "good"
    assert onnxpress.pipeline(model="org/foreign", file_name="model_O2.onnx")("bad")[0]["label"] == "bad"
    assert onnxpress.pipeline(model="org/foreign", subfolder="onnx")("bad")[0]["label"] == "bad"
    assert not hub.requests(pattern="*unused*")


def test_a_model_in_a_folder_of_a_repository(hub: HubServer, tmp_path: Path) -> None:
    write_foreign(tmp_path / "several" / "mine", config={"architectures": ["BertForSequenceClassification"]})
    hub.add_folder("org/several", tmp_path / "several")
    assert onnxpress.pipeline(model="org/several", subfolder="mine")("good")[0]["label"] == "good"


def test_a_tokenizer_of_another_repository(hub: HubServer, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder")
    hub.add_folder("org/checkpoint", folder)
    (folder / "tokenizer.json").unlink()
    hub.add_folder("org/graph", folder)
    pipe = onnxpress.pipeline(model="org/graph", tokenizer="org/checkpoint")
    assert pipe("good")[0]["label"] == "good"


def test_a_repository_of_another_tool_is_adopted_by_its_id(hub: HubServer, tmp_path: Path) -> None:
    """From the Hub's cache, where every file is a link, with its weights, its licence and the commit."""
    from onnxpress_exporter import adopt

    folder = write_external(tmp_path / "folder", "weights.bin")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    commit = hub.add_folder("org/foreign", folder, revision="v1")
    artifact = adopt("org/foreign", tmp_path / "out", revision="v1")
    provenance = artifact.manifest.provenance
    assert (provenance.source, provenance.revision, provenance.commit) == ("org/foreign", "v1", commit)
    assert not any(path.is_symlink() for path in artifact.folder.rglob("*"))
    card = (artifact.folder / "README.md").read_text()
    assert "license: apache-2.0" in card and "base_model: org/foreign" in card
    assert onnxpress.pipeline(model=artifact)("good")[0]["label"] == "good"
