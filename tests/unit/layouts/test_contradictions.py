"""What a folder's files and its graph say of one thing: the graph counts, or both sides are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

import onnxpress
from onnxpress.errors import AdoptionWarning, UnknownTask, UnsupportedFormat

from ...fixtures.foreign import of_tokens, write_foreign


def facts(pipe: Any) -> dict[str, str]:
    return {fact.what: f"{fact.value} | {fact.source}" for fact in pipe.adopted.facts}


def test_the_graph_counts_where_a_class_says_another_thing(tmp_path: Path) -> None:
    folder = write_foreign(
        tmp_path / "folder", edits=[of_tokens("last_hidden_state")], config={"architectures": ["BertForMaskedLM"]}
    )
    with onnxpress.pipeline(model=folder) as pipe:
        assert pipe.task == "feature-extraction"
        assert facts(pipe)["class"] == (
            "BertForMaskedLM, which gives words; the graph gives states, and counts | config.json"
        )
    with onnxpress.pipeline(model=write_foreign(tmp_path / "agreed")) as pipe:
        assert "class" not in facts(pipe)


def test_the_card_is_asked_last(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder", config={"architectures": None})
    with pytest.raises(UnknownTask, match="nothing says for which task"):
        onnxpress.pipeline(model=folder)
    (folder / "README.md").write_text(
        "---\nlicense: mit\npipeline_tag: text-classification # of course\n---\n# A model\n"
    )
    with onnxpress.pipeline(model=folder) as pipe:
        assert facts(pipe)["task"] == "text-classification | the graph and README.md, pipeline_tag text-classification"
    (folder / "README.md").write_text("---\npipeline_tag: fill-mask\n---\n")
    with pytest.raises(UnknownTask, match="nothing says for which task"):
        onnxpress.pipeline(model=folder)
    with onnxpress.pipeline("text-classification", folder) as pipe:
        assert facts(pipe)["card"].startswith("fill-mask, which the graph gives no answers for; the graph counts")


def test_vectors_of_another_size_are_refused(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder", edits=[of_tokens("last_hidden_state")])
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling")]
    listed = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in kinds]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    pooling = folder / "1_Pooling" / "config.json"
    for key in ("word_embedding_dimension", "embedding_dimension"):
        pooling.write_text(json.dumps({key: 384, "pooling_mode_mean_tokens": True}))
        with pytest.raises(UnsupportedFormat, match=f"{key} is 384, and the graph gives 2 numbers for a token"):
            onnxpress.pipeline(model=folder)
    pooling.write_text(json.dumps({"word_embedding_dimension": 2, "pooling_mode_mean_tokens": True}))
    onnxpress.pipeline(model=folder).close()


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"] |= {f"word{number}": number for number in range(9, 40)}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UnsupportedFormat, match=r"ids up to 39, and the graph's table of tokens has 9 rows"):
        onnxpress.pipeline(model=folder)


def test_padding_has_a_row(tmp_path: Path) -> None:
    """An added padding token that the model's table was not resized for fills nothing."""
    folder = write_foreign(tmp_path / "folder")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"] |= {f"word{number}": number % 9 for number in range(60)}
    content["model"]["vocab"]["<new>"] = 9
    (folder / "tokenizer.json").write_text(json.dumps(content))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "pad_token": "<new>"}))
    with onnxpress.pipeline(model=folder) as pipe:
        assert pipe.manifest.tokenizer.pad_token_id == 0
        assert [answer["label"] for answer in pipe(["good good", "bad"])] == ["good", "bad"]


def test_token_types_that_one_side_lacks_are_told(tmp_path: Path) -> None:
    def takes_types(model: Any) -> None:
        value = helper.make_tensor_value_info("token_type_ids", TensorProto.INT64, ["batch", "sequence"])
        model.graph.input.append(value)

    for edits, names, value in (
        ([takes_types], ["input_ids", "attention_mask"], "zeros"),
        ([], ["input_ids", "token_type_ids", "attention_mask"], "none"),
    ):
        folder = write_foreign(tmp_path / value, edits=edits)
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_input_names": names}))
        with onnxpress.pipeline(model=folder) as pipe:
            assert facts(pipe)["token_type_ids"].startswith(f"{value} | the graph, which takes")
            assert pipe("good")[0]["label"] == "good"


def test_what_nothing_names_is_a_warning(tmp_path: Path) -> None:
    with pytest.warns(AdoptionWarning, match="labels are assumed to be LABEL_0 to LABEL_1"):
        onnxpress.pipeline("text-classification", write_foreign(tmp_path / "x", config={"id2label": None})).close()
