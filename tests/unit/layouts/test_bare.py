"""One graph file, with what the caller says of it; graph files by name, by folder and by every suffix."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

import onnxpress
from onnxpress.errors import AdoptionWarning, BatchDependenceWarning, InputError, MissingFile, UnsupportedFormat
from onnxpress.format.precisions import SUFFIXES

from ...fixtures.artifacts import write_artifact
from ...fixtures.foreign import of_tokens, renamed, write_external, write_foreign

TEXTS = ["good", "a very bad film", "good good film"]


def write_bare(folder: Path, **options: Any) -> tuple[Path, Path]:
    """A graph file with nothing beside it, and the folder of its tokenizer."""
    write_foreign(folder / "tokenizer", "model.onnx", **options)
    (folder / "graph").mkdir()
    (folder / "tokenizer" / "model.onnx").rename(folder / "graph" / "anything.onnx")
    (folder / "tokenizer" / "config.json").unlink()
    return folder / "graph" / "anything.onnx", folder / "tokenizer"


def labels_of(pipe: Any) -> list[str]:
    return [answer["label"] for answer in pipe(TEXTS)]


@pytest.mark.parametrize(
    "labels", [["good", "bad"], {0: "good", 1: "bad"}, {"0": "good", "1": "bad"}, {"bad": 1, "good": 0}]
)
def test_a_file_with_its_tokenizer_and_labels(labels: Any, tmp_path: Path) -> None:
    graph, tokenizer = write_bare(tmp_path)
    for where in (tokenizer, tokenizer / "tokenizer.json", str(tokenizer)):
        pipe = onnxpress.pipeline("text-classification", graph, tokenizer=where, labels=labels)
        assert labels_of(pipe) == ["good", "bad", "good"]
        assert pipe.adopted is not None and pipe.adopted.layout == "named file"
        assert {str(fact) for fact in pipe.adopted.facts} >= {"labels: 2 (from the caller)"}
    assert onnxpress.load(graph, tokenizer=tokenizer)("good good bad").logits.tolist() == [[2, 1]]
    copied = onnxpress.pipeline("text-classification", pipe.save_pretrained(tmp_path / "copy"), labels=labels)
    assert labels_of(copied) == ["good", "bad", "good"]


def test_what_lies_beside_a_file_is_found(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder")
    shutil.copy(folder / "onnx" / "model.onnx", folder / "anything.onnx")
    for graph in (folder / "anything.onnx", folder / "onnx" / "model.onnx"):
        assert labels_of(onnxpress.pipeline("text-classification", graph)) == ["good", "bad", "good"]


def test_what_a_file_lacks_is_asked_for(tmp_path: Path) -> None:
    graph, tokenizer = write_bare(tmp_path)
    with pytest.raises(MissingFile, match="Pass tokenizer="):
        onnxpress.pipeline("text-classification", graph)
    with pytest.raises(InputError, match="3 labels, and the graph gives 2 scores"):
        onnxpress.pipeline("text-classification", graph, tokenizer=tokenizer, labels=["a", "b", "c"])
    with pytest.raises(InputError, match="each class from 0 to 1"):
        onnxpress.pipeline("text-classification", graph, tokenizer=tokenizer, labels={0: "a", 2: "b"})
    with pytest.warns(AdoptionWarning, match=r"LABEL_0 to LABEL_1.*labels="):
        onnxpress.pipeline("text-classification", graph, tokenizer=tokenizer)
    with pytest.raises(InputError, match="there is no tokenizer in it"):
        onnxpress.pipeline("text-classification", graph, tokenizer=graph.parent)
    with pytest.raises(MissingFile, match="no such file"):
        onnxpress.pipeline("text-classification", tmp_path / "none.onnx")
    with pytest.raises(InputError, match="Leave labels out"):
        onnxpress.pipeline(model=write_artifact(tmp_path / "ours"), labels=["a", "b"])


def hands_on(*floats: str) -> Any:
    """As a whole sentence-transformers model traced with its features: ids and mask come out, too, first."""

    def edit(model: onnx.ModelProto) -> None:
        graph = model.graph
        answer = graph.output[0]
        answer.name = floats[-1]
        graph.node[-1].output[0] = floats[-1]
        inner = graph.node[-1].input[0]
        graph.node.append(helper.make_node("Identity", ["input_ids"], ["output"]))
        graph.output.insert(0, helper.make_tensor_value_info("output", TensorProto.INT64, ["b", "s"]))
        if len(floats) > 1:
            graph.node.append(helper.make_node("Identity", [inner], [floats[0]]))
            graph.output.insert(1, helper.make_tensor_value_info(floats[0], TensorProto.FLOAT, ["b", "s", 2]))

    return edit


def test_only_dtype_and_rank_tell_which_output_answers(tmp_path: Path) -> None:
    graph, tokenizer = write_bare(tmp_path, edits=[hands_on("onnx::Shape_422", "461")])
    pipe = onnxpress.pipeline(model=graph, tokenizer=tokenizer)
    assert (pipe.task, pipe("good good bad").tolist()) == ("sentence-similarity", [2, 1])
    states = onnxpress.pipeline(
        "sentence-similarity", graph, tokenizer=tokenizer, output="onnx::Shape_422", pooling="max"
    )
    assert states("good good bad").tolist() == [1, 1]
    with pytest.raises(UnsupportedFormat, match=r"output='output' is none of its outputs.*'onnx::Shape_422', '461'"):
        onnxpress.pipeline(model=graph, tokenizer=tokenizer, output="output")


def test_a_vector_s_size_is_that_of_what_it_pools_where_nothing_else_tells(tmp_path: Path) -> None:
    def unsized(model: onnx.ModelProto) -> None:
        hands_on("onnx::Shape_422", "461")(model)
        model.graph.output[-1].type.tensor_type.shape.dim[1].dim_param = "Concat461_dim_1"

    graph, tokenizer = write_bare(tmp_path, edits=[unsized])
    pipe = onnxpress.pipeline(model=graph, tokenizer=tokenizer)
    assert pipe.get_embedding_dimension() == 2
    assert pipe(["good good bad"]).tolist() == [[2, 1]]


def test_vectors_of_another_size_than_the_files_say(tmp_path: Path) -> None:
    def unsized(model: onnx.ModelProto) -> None:
        renamed("sentence_embedding")(model)
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "size"

    folder = write_foreign(tmp_path / "folder", edits=[unsized], config={"hidden_size": 5})
    with pytest.raises(UnsupportedFormat, match="vectors have 2 numbers, and its files say 5"):
        onnxpress.pipeline(model=folder)("good")


def several(model: onnx.ModelProto) -> None:
    """Two vectors of unknown names."""
    renamed("461")(model)
    model.graph.node.append(helper.make_node("Neg", ["461"], ["462"]))
    model.graph.output.append(helper.make_tensor_value_info("462", TensorProto.FLOAT, ["b", 2]))


def test_an_output_that_nothing_tells_is_asked_for(tmp_path: Path) -> None:
    graph, tokenizer = write_bare(tmp_path, edits=[several])
    with pytest.raises(UnsupportedFormat, match=r"461 .*462 .*output=NAME"):
        onnxpress.pipeline(model=graph, tokenizer=tokenizer)
    assert onnxpress.pipeline(model=graph, tokenizer=tokenizer, output="462")("good").tolist() == [-1, 0]


@pytest.mark.parametrize("row", SUFFIXES.values(), ids=lambda row: row.suffix or "none")
def test_a_variant_of_every_suffix(row: Any, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder")
    edits = [renamed("logits")] if row.suffix else []
    write_foreign(tmp_path / "other", f"onnx/model{row.suffix}.onnx", edits=edits)
    shutil.copy(tmp_path / "other" / f"onnx/model{row.suffix}.onnx", folder / "onnx")
    assert onnxpress.pipeline(model=folder).precision == "fp32"
    for options in (
        {"precision": row.name},
        {"file_name": f"model{row.suffix}.onnx"},
        {"file_name": f"onnx/model{row.suffix}.onnx"},
        {"subfolder": "onnx", "file_name": f"model{row.suffix}.onnx"},
    ):
        pipe = onnxpress.pipeline(model=folder, **options)
        assert (pipe.precision, labels_of(pipe)) == (row.name, ["good", "bad", "good"])
        assert pipe.adopted is not None
        variant = next(fact for fact in pipe.adopted.facts if fact.what == "variant")
        assert f"onnx/model{row.suffix}.onnx" in variant.value and row.loss in variant.value
        assert variant.source == "the caller"


def test_names_of_files_that_are_not_there_or_contradict(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder", "onnx/model_O2.onnx")
    with pytest.raises(MissingFile, match=r"model_O3.onnx: there is no such graph file. There is 'onnx/model_O2.onnx'"):
        onnxpress.pipeline(model=folder, file_name="model_O3.onnx")
    with pytest.raises(InputError, match="is the O2 variant, and precision='int8'"):
        onnxpress.pipeline(model=folder, file_name="model_O2.onnx", precision="int8")
    with pytest.raises(UnsupportedFormat, match="no bnb4 variant"):
        onnxpress.pipeline(model=folder, precision="bnb4")
    assert onnxpress.pipeline(model=folder).precision == "fp32"
    assert onnxpress.pipeline(model=folder, precision="O2").precision == "O2"
    with pytest.raises(InputError, match="subfolder"):
        onnxpress.pipeline(model=folder, subfolder="../folder")
    with pytest.raises(MissingFile, match="no such folder"):
        onnxpress.pipeline(model=folder, subfolder="nowhere")


def test_a_folder_in_a_folder(tmp_path: Path) -> None:
    """A whole model of its own, graphs alone, and an artifact of ours."""
    write_foreign(tmp_path / "several" / "mine") if (tmp_path / "several").mkdir() is None else None
    assert onnxpress.pipeline(model=tmp_path / "several", subfolder="mine").task == "text-classification"
    folder = write_foreign(tmp_path / "folder", "fast/odd.onnx")
    assert onnxpress.pipeline(model=folder, subfolder="fast").artifact.manifest.variants["fp32"].files == {
        "fast/odd.onnx"
    }
    write_artifact(tmp_path / "ours")
    assert onnxpress.pipeline(model=tmp_path, subfolder="ours").artifact.trust == "verified"


def test_the_loss_of_a_range_for_a_whole_batch_is_told(tmp_path: Path) -> None:
    def dynamic(model: onnx.ModelProto) -> None:
        graph = model.graph
        graph.node[-1].output[0] = "sum"
        graph.node.extend(
            [
                helper.make_node("DynamicQuantizeLinear", ["sum"], ["q", "s", "z"]),
                helper.make_node("DequantizeLinear", ["q", "s", "z"], ["logits"]),
            ]
        )

    folder = write_foreign(tmp_path / "folder", "onnx/model_quantized.onnx", edits=[dynamic])
    with pytest.warns(BatchDependenceWarning, match=r"cosine of 0.92 to 0.99 .*0.91 to 0.96"):
        onnxpress.pipeline(model=folder)


@pytest.mark.parametrize(
    ("name", "card", "vector"),
    [
        ("bge-small-en-v1.5-onnx-Q", "", [0.0, 0.0]),
        ("fast-all-MiniLM-L6-v2", "", [0.5**0.5, 0.5**0.5]),
        (
            "mine",
            "---\nlicense: mit\nbase_model:\n- sentence-transformers/paraphrase-MiniLM-L3-v2\n---\n",
            [0.25, 0.25],
        ),
        ("mine", "---\nbase_model: intfloat/e5-small-v2\n---\n", [0.5**0.5, 0.5**0.5]),
    ],
)
def test_pooling_of_well_known_models(name: str, card: str, vector: list[float], tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / name, "model_optimized.onnx", edits=[of_tokens("last_hidden_state")])
    if card:
        (folder / "README.md").write_text(card)
    pipe = onnxpress.pipeline(model=folder)
    assert pipe.task == "sentence-similarity"
    assert pipe("good bad").tolist() == pytest.approx(vector)
    assert pipe.adopted is not None and any("well-known" in fact.source for fact in pipe.adopted.facts)


@pytest.mark.parametrize("location", ["model.onnx.data", "model.onnx_data_1", "0d3b9e7c-1f2a-4c5e-9f00-aa"])
def test_weights_beside_a_graph_have_any_name(location: str, tmp_path: Path) -> None:
    folder = write_external(tmp_path / "folder", location)
    pipe = onnxpress.pipeline(model=folder)
    assert labels_of(pipe) == ["good", "bad", "good"]
    assert f"onnx/{location}" in pipe.artifact.manifest.files
    copied = onnxpress.pipeline(model=pipe.save_pretrained(tmp_path / "copy"))
    assert labels_of(copied) == ["good", "bad", "good"]
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "bert"


@pytest.mark.parametrize(
    "files", [{"decoder_file_name": "decoder_model_merged.onnx"}, {"file_name": "decoder_model_merged.onnx"}]
)
def test_a_decoder_s_file_brings_its_encoder(files: dict[str, str], tmp_path: Path) -> None:
    from ...fixtures.foreign_writers import write_encoder_decoder

    pipe = onnxpress.pipeline(model=write_encoder_decoder(tmp_path / "folder", merged=True), **files)
    assert pipe.task == "text2text-generation"


def test_the_command_line_takes_a_file(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from onnxpress.cli.main import program

    graph, tokenizer = write_bare(tmp_path)
    said = [str(graph), "--tokenizer", str(tokenizer), "--labels", "good, bad"]
    run = CliRunner().invoke(program, ["run", *said, "good film", "--task", "text-classification"])
    assert run.exit_code == 0 and run.output.startswith("good")
    edited, tokenizer = write_bare(tmp_path / "second", edits=[several])
    inspected = CliRunner().invoke(
        program, ["inspect", str(edited), "--tokenizer", str(tokenizer), "--with", "output=462"]
    )
    assert inspected.exit_code == 0 and "462" in inspected.output
    checked = CliRunner().invoke(program, ["check", str(edited), "--tokenizer", str(tokenizer), "--with", "output=462"])
    assert checked.exit_code == 0 and "opened and answered" in checked.output
