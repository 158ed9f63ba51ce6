"""`adopt` makes an artifact of another tool's folder: the same answers, hashes, and what was inferred written down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

import onnxpress
from onnxpress import Artifact
from onnxpress.cli.inspection import describe
from onnxpress.errors import AdoptionWarning, CorruptFile, InputError, MissingFile, UnsupportedFormat
from onnxpress.format.manifest import FILE_NAME, dump, parse
from onnxpress_exporter import adopt
from onnxpress_exporter.cli.adopt import adopt_command
from onnxpress_exporter.errors import VerificationFailed
from onnxpress_exporter.flow import quantize

from ..fixtures.foreign import Edit, of_tokens, renamed, returns_half, sized, takes, without_manifest, write_foreign
from ..fixtures.foreign_decoders import write_decoder
from ..fixtures.foreign_writers import write_encoder_decoder
from ..unit.layouts.test_decoders import FOLDERS
from ..unit.layouts.test_head_files import write_embedder

TEXTS = ["good", "a very bad film", "good good film", "bad bad bad", "a film"]


def answers(folder: Path) -> list[Any]:
    with onnxpress.pipeline(model=folder) as pipe:
        return [(answer["label"], pytest.approx(answer["score"], abs=1e-3)) for answer in pipe(TEXTS)]


def also_returns(model: onnx.ModelProto) -> None:
    """The graph has an output that no task asks for."""
    model.graph.output.append(helper.make_tensor_value_info("masked", TensorProto.FLOAT, ["batch", "sequence", 2]))


EDITS: dict[str, tuple[Edit, ...]] = {
    "as it is": (),
    "int32 ids": (takes(TensorProto.INT32),),
    "float16 scores": (returns_half,),
    "another output's name": (renamed("output_0"),),
    "an output that nobody asks for": (also_returns,),
    "one size": (sized(2, 9),),
}


@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS)
def test_an_adopted_folder_is_an_artifact_with_the_same_answers(edits: tuple[Edit, ...], tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder", edits=edits)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    artifact = adopt(folder, tmp_path / "adopted")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert (artifact.trust, artifact.adopted, artifact.manifest.task) == ("hashed", None, "text-classification")
    assert artifact.manifest.variants["fp32"].quality is None
    facts = {fact.what for fact in artifact.manifest.provenance.adopted.facts}
    assert {"task", "variant", "answers", "labels"} <= facts
    assert {name for name in artifact.manifest.files if name.endswith(".onnx")} == {"onnx/model.onnx"}
    assert answers(artifact.folder) == answers(folder)
    assert parse(dump(artifact.manifest)) == artifact.manifest
    shown = " ".join(describe(artifact.manifest).split())
    assert "from transformers.js's files: its answers were never compared with the original's" in shown
    assert "fp32 320 B" not in shown and "not known" in shown
    (artifact.folder / "tokenizer.json").write_text("{}")
    with pytest.raises(CorruptFile, match="the manifest says"):
        onnxpress.pipeline(model=artifact.folder)


def test_what_is_assumed_stays_so_until_somebody_says_it(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder", edits=[of_tokens("last_hidden_state")])
    with pytest.warns(AdoptionWarning, match="pooling is assumed to be mean"):
        adopt(folder, tmp_path / "assumed", "sentence-similarity")
    with pytest.warns(AdoptionWarning, match="pooling is assumed to be mean"):
        onnxpress.pipeline(model=tmp_path / "assumed").close()
    adopt(folder, tmp_path / "said", pooling="max")
    with onnxpress.pipeline(model=tmp_path / "said") as pipe:
        assert pipe("good bad").tolist() == [1, 1]


def test_weights_lie_beside_the_graph_under_our_names(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder", "model_optimized.onnx")
    model = onnx.load(folder / "model_optimized.onnx")
    place = {"location": "model_optimized.onnx.data", "size_threshold": 64}
    onnx.save(model, folder / "model_optimized.onnx", save_as_external_data=True, **place)
    assert (folder / "model_optimized.onnx.data").is_file()
    artifact = adopt(folder, tmp_path / "adopted")
    assert artifact.manifest.variants["fp32"].graphs["model"].names == ("onnx/model.onnx",)
    assert answers(artifact.folder) == answers(folder)
    assert not (artifact.folder / ".found").exists()


def test_a_rewrite_that_changes_answers_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(model: Any, names: Any) -> dict[str, int]:
        from onnx_ir import tensor

        model.graph.initializers["table"].const_value = tensor(np.full((9, 2), 3, np.float32))
        return {"spoil": 1}

    monkeypatch.setattr("onnxpress_exporter.from_foreign.apply_passes", spoil)
    folder = write_foreign(tmp_path / "folder")
    artifact = adopt(folder, tmp_path / "adopted")
    (fact,) = [fact for fact in artifact.manifest.provenance.adopted.facts if fact.what == "graph"]
    assert str(fact) == "graph: as it was found (from its answers, which a rewrite would change)"
    assert answers(artifact.folder) == answers(folder)


@pytest.mark.parametrize(("suffix", "precision"), [("quantized", "q8"), ("uint8", "int8"), ("O4", "fp16")])
def test_a_folder_without_fp32_is_adopted_as_it_is(suffix: str, precision: str, tmp_path: Path) -> None:
    """Under the name of the precision of ours that it is like."""
    folder = write_foreign(tmp_path / "folder", f"onnx/model_{suffix}.onnx")
    artifact = adopt(folder, tmp_path / "adopted")
    assert list(artifact.manifest.variants) == [precision]
    assert answers(artifact.folder) == answers(folder)
    with pytest.raises(InputError, match=r"has no fp32 graph, only .*: q4 cannot be made of it"):
        adopt(folder, tmp_path / "more", precision="q4")


@pytest.mark.parametrize("merged", [False, True], ids=["two decoders", "a merged one"])
def test_what_writes_is_adopted(merged: bool, tmp_path: Path) -> None:
    folder = write_encoder_decoder(tmp_path / "folder", merged=merged)
    artifact = adopt(folder, tmp_path / "adopted")
    with onnxpress.pipeline(model=folder) as found, onnxpress.pipeline(model=artifact.folder) as ours:
        assert ours.task == found.task == "text2text-generation"
        assert ours(TEXTS, max_new_tokens=6, do_sample=False) == found(TEXTS, max_new_tokens=6, do_sample=False)


def test_layers_after_pooling_and_the_card_come_along(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {"linear.weight": rng.normal(size=(3, 2)).astype(np.float32), "linear.bias": np.ones(3, np.float32)}
    settings = {
        "in_features": 2,
        "out_features": 3,
        "bias": True,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    folder = write_embedder(tmp_path / "folder", ("Dense", settings, weights), last="Normalize")
    (folder / "README.md").write_text("---\nlicense: mit\nbase_model: org/original\ntags:\n- x\n---\n# Theirs\n")
    artifact = adopt(folder, tmp_path / "adopted")
    assert set(artifact.manifest.graphs) == {"model", "head"}
    with onnxpress.pipeline(model=folder) as found, onnxpress.pipeline(model=artifact.folder) as ours:
        assert ours.task == "sentence-similarity"
        assert np.allclose(ours(TEXTS), found(TEXTS))
    card = (artifact.folder / "README.md").read_text()
    assert "license: mit\nbase_model: org/original" in card and "Theirs" not in card


def test_what_is_refused_and_what_to_do_instead(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder")
    adopt(folder, tmp_path / "adopted")
    with pytest.raises(InputError, match=r"an onnxpress artifact already.*onnxpress quantize .*adopted --precision"):
        adopt(tmp_path / "adopted", tmp_path / "again")
    with pytest.raises(InputError, match="exists already"):
        adopt(folder, tmp_path / "adopted")
    adopt(folder, tmp_path / "adopted", force=True)
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text("{}")
    with pytest.raises(MissingFile, match=r"looks like a checkpoint.*`onnxpress export .*checkpoint OUT`"):
        adopt(tmp_path / "checkpoint", tmp_path / "out")
    fixed = write_foreign(tmp_path / "fixed", edits=[sized(2, 9)])
    with pytest.raises(InputError, match="takes batches of one size only"):
        adopt(fixed, tmp_path / "out", precision="fp32,int8")
    with pytest.raises(UnsupportedFormat, match="custom operators"):
        adopt(write_foreign(tmp_path / "hostile", edits=[_custom]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _custom(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "ai.evil"
    model.opset_import.append(helper.make_opsetid("ai.evil", 1))


def test_the_command(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder")
    done = CliRunner().invoke(adopt_command, [str(folder), str(tmp_path / "adopted"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["provenance"]["adopted"]["layout"] == "transformers.js"
    assert (tmp_path / "adopted" / FILE_NAME).read_text() == done.stdout
    card = (tmp_path / "adopted" / "README.md").read_text()
    assert "adopted by onnxpress from transformers.js's files, not compared with the original" in card


def test_variants_are_judged_by_the_graph_as_it_was_found(
    trained: Callable[[str], Path], exported: Callable[..., Artifact], tmp_path: Path
) -> None:
    ours = exported(trained("tiny-sentiment"), "text-classification")
    folder = without_manifest(ours.folder, tmp_path / "folder")
    artifact = adopt(folder, tmp_path / "adopted", precision="int8")
    assert artifact.trust == "hashed"
    assert list(artifact.manifest.variants) == ["fp32", "int8"]
    again = quantize(artifact.folder, "q8")
    for name in ("int8", "q8"):
        quality = again.manifest.variants[name].quality
        assert quality.reference == "the fp32 variant, never compared with PyTorch"
    assert again.manifest.variants["fp32"].quality is None
    assert again.trust == "hashed"


def test_a_tokenizer_that_the_runtime_cannot_build_is_made_by_transformers(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder")
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "tokenizer.json").unlink()
    rows = [*sorted(vocabulary, key=vocabulary.__getitem__), "[MASK]", "<s>", "</s>"]
    (folder / "vocab.txt").write_text("\n".join(rows) + "\n")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**settings, "mask_token": "[MASK]", "tokenizer_class": "FunnelTokenizer"})
    )
    with pytest.raises(UnsupportedFormat, match=r"FunnelTokenizer is a class that is not known here.*onnxpress adopt"):
        onnxpress.pipeline(model=folder)
    pipe = onnxpress.pipeline(model=adopt(folder, tmp_path / "out"))
    assert [answer["label"] for answer in pipe(["good", "a very bad film"])] == ["good", "bad"]


def test_a_checkpoint_says_what_the_graph_is_worth(
    trained: Callable[[str], Path], exported: Callable[..., Artifact], tmp_path: Path
) -> None:
    checkpoint = trained("tiny-sentiment")
    folder = without_manifest(exported(checkpoint, "text-classification").folder, tmp_path / "folder")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    with pytest.raises(InputError, match=r"README.md names none as base_model. Name the checkpoint: --checkpoint"):
        adopt(folder, tmp_path / "out", checkpoint_of_card=True)
    (folder / "README.md").write_text(f"---\nbase_model: {checkpoint}\n---\n")
    artifact = adopt(folder, tmp_path / "adopted", checkpoint_of_card=True)
    quality = artifact.manifest.variants["fp32"].quality
    assert (artifact.trust, quality.reference) == ("verified", "PyTorch fp32, eager")
    assert quality.max_error < 1e-5
    assert str(artifact.manifest.provenance.adopted.facts[-1]).startswith("compared with: ")
    renamed_labels = json.loads((folder / "config.json").read_text())
    renamed_labels["id2label"] = {key: f"{label}!" for key, label in renamed_labels["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(renamed_labels))
    with pytest.raises(VerificationFailed, match=r"labels: negative!, .*; the checkpoint's: negative, "):
        adopt(folder, tmp_path / "out", checkpoint=checkpoint)
    assert not (tmp_path / "out").exists()


def test_a_graph_that_is_not_the_checkpoint_s_is_refused(
    trained: Callable[[str], Path], exported: Callable[..., Artifact], tmp_path: Path
) -> None:
    checkpoint = trained("tiny-sentiment")
    folder = without_manifest(exported(checkpoint, "text-classification").folder, tmp_path / "folder")
    model = onnx.load(folder / "onnx" / "model.onnx")
    table = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("word_embeddings.weight"))
    table.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(table) * np.float32(1.5), table.name))
    onnx.save(model, folder / "onnx" / "model.onnx")
    with pytest.raises(VerificationFailed, match=r"No artifact was written. The graph is not this checkpoint's"):
        adopt(folder, tmp_path / "out", checkpoint=checkpoint)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    pooled = write_foreign(tmp_path / "pooled", edits=[renamed("sentence_embedding")])
    with pytest.raises(InputError, match="its graph pools by itself"):
        adopt(pooled, tmp_path / "out", checkpoint=tmp_path)
    fixed = write_foreign(tmp_path / "fixed", edits=[sized(2, 9)])
    with pytest.raises(InputError, match="cannot be compared with a checkpoint"):
        adopt(fixed, tmp_path / "out", checkpoint=tmp_path)


@pytest.mark.parametrize("name", ["usual", "fused attention", "keys and values together", "two graphs"])
def test_caches_of_every_shape_are_adopted(name: str, tmp_path: Path) -> None:
    """With what stands between the graph's names and ours."""
    folder = write_decoder(tmp_path / "folder", FOLDERS[name]["graphs"], FOLDERS[name].get("config"))
    artifact = adopt(folder, tmp_path / "adopted")
    with onnxpress.pipeline(model=folder) as found, onnxpress.pipeline(model=artifact.folder) as ours:
        assert ours(TEXTS, max_new_tokens=6, do_sample=False) == found(TEXTS, max_new_tokens=6, do_sample=False)
