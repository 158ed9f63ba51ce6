"""Other tools' folders: what their graphs and files say becomes a model, and what contradicts itself is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

import onnxpress
from onnxpress.errors import (
    AdoptionWarning,
    ArtifactError,
    CorruptFile,
    InputError,
    MissingFile,
    UnknownTask,
    UnsupportedFormat,
)

from ...fixtures.artifacts import write_artifact
from ...fixtures.foreign import (
    Edit,
    also_takes,
    imports_more,
    of_tokens,
    renamed,
    returns_half,
    sized,
    takes,
    write_foreign,
)
from ...fixtures.foreign_writers import write_encoder_decoder, written

TEXTS = ["good", "a very bad film", "good good film", "bad bad bad", "a film"]


def answers(pipe: Any) -> list[tuple[str, float]]:
    return [(answer["label"], round(answer["score"], 5)) for answer in pipe(TEXTS)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, float]]:
    return answers(onnxpress.pipeline(model=write_artifact(tmp_path_factory.mktemp("ours") / "artifact")))


@pytest.mark.parametrize("graph", ["model.onnx", "onnx/model.onnx", "model_optimized.onnx"])
def test_a_folder_opens_as_it_is(graph: str, tmp_path: Path, expected: Any) -> None:
    pipe = onnxpress.pipeline(model=write_foreign(tmp_path / "folder", graph))
    assert (pipe.task, pipe.precision, pipe.artifact.trust) == ("text-classification", "fp32", "unverified")
    assert answers(pipe) == expected
    facts = {fact.what: fact for fact in pipe.adopted.facts}
    assert {"task", "variant", "answers", "longest text", "labels"} <= set(facts)
    assert facts["labels"].source == "config.json"
    assert onnxpress.pipeline(model=write_artifact(tmp_path / "ours")).adopted is None


EDITS: dict[str, tuple[Edit, ...]] = {
    "int32 ids": (takes(TensorProto.INT32),),
    "float16 masks and ids": (takes(TensorProto.FLOAT),),
    "float16 scores": (returns_half,),
    "another output's name": (renamed("output_0"),),
    "unused operator sets": (imports_more,),
    "one size": (sized(1, 12),),
    "two rows": (sized(2, None),),
    "one width": (sized(None, 9),),
    "int32 ids of one size": (takes(TensorProto.INT32), sized(3, 9)),
}


@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS)
def test_a_graph_runs_as_it_is(edits: tuple[Edit, ...], tmp_path: Path, expected: Any) -> None:
    pipe = onnxpress.pipeline(model=write_foreign(tmp_path / "folder", edits=edits))
    together, alone = pipe(TEXTS), [pipe(text)[0] for text in TEXTS]
    for pair in (together, alone):
        assert [answer["label"] for answer in pair] == [label for label, _ in expected]
        assert [answer["score"] for answer in pair] == pytest.approx([score for _, score in expected], abs=1e-3)
    if not any(edit.__qualname__.startswith("sized") for edit in edits):
        logits = pipe.model("good good bad")[pipe.answer_name]
        assert logits.tolist() == [[2, 1]]


def test_a_text_longer_than_a_graph_of_one_size(tmp_path: Path) -> None:
    pipe = onnxpress.pipeline(model=write_foreign(tmp_path / "folder", edits=[sized(1, 6)]))
    with pytest.raises(InputError, match="at most 6"):
        pipe("good " * 9)
    assert pipe("good " * 9, truncation=True)[0]["label"] == "good"


@pytest.mark.parametrize(
    ("output", "config", "task"),
    [
        ("logits", {}, "token-classification"),
        ("logits", {"architectures": ["BertForTokenClassification"]}, "token-classification"),
        ("logits", {"vocab_size": 2, "id2label": None, "architectures": ["BertForMaskedLM"]}, "fill-mask"),
        ("last_hidden_state", {"architectures": ["BertForMaskedLM"]}, "feature-extraction"),
        ("token_embeddings", {"architectures": ["BertModel"]}, "feature-extraction"),
        ("463", {"architectures": ["BertModel"]}, "feature-extraction"),
    ],
)
def test_the_graph_says_which_task(output: str, config: dict[str, Any], task: str, tmp_path: Path) -> None:
    """A base class's graph for a class's name with a head, and the other way round: the graph wins."""
    pipe = onnxpress.pipeline(model=write_foreign(tmp_path / "folder", edits=[of_tokens(output)], config=config))
    assert pipe.task == task


def test_the_caller_s_word_stands_above(tmp_path: Path, expected: Any) -> None:
    folder = write_foreign(tmp_path / "folder", config={"architectures": ["Unheard"]})
    with pytest.raises(
        UnknownTask, match=r"nothing says for which task. Name it: multiple-choice, text-classification"
    ):
        onnxpress.pipeline(model=folder)
    assert answers(onnxpress.pipeline("sentiment-analysis", folder)) == expected
    with pytest.raises(UnknownTask, match="gives classes, which is not what token-classification needs"):
        onnxpress.pipeline("ner", folder)


def test_pooling_that_nobody_tells_is_assumed_aloud(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder", edits=[of_tokens("last_hidden_state")])
    with pytest.warns(AdoptionWarning, match='pooling is assumed to be mean.*pass pooling="cls"'):
        mean = onnxpress.pipeline("sentence-similarity", folder)
    assert mean("good bad").tolist() == pytest.approx([0.25, 0.25])  # four tokens, the ends count
    cut = onnxpress.pipeline("sentence-similarity", folder, pooling="max")
    assert cut("good bad").tolist() == [1, 1]
    assert onnxpress.pipeline(model=folder, pooling="max").task == "sentence-similarity"
    with pytest.raises(InputError, match="pooling"):
        onnxpress.pipeline(model=write_artifact(tmp_path / "ours"), pooling="max")


def test_sentence_transformers_files_say_how_vectors_are_made(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder", edits=[of_tokens("last_hidden_state")])
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, path) in enumerate([("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")])
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "bad "}}))
    pipe = onnxpress.pipeline(model=folder)
    assert pipe.task == "sentence-similarity"
    assert pipe("good").tolist() == [1, 0]
    assert pipe.encode_query("good").tolist() == pytest.approx([0.5**0.5] * 2)
    copied = onnxpress.pipeline(model=pipe.save_pretrained(tmp_path / "copy"))
    assert copied.encode_query("good bad").tolist() == pipe.encode_query("good bad").tolist()
    assert copied.adopted == pipe.adopted
    for kind, words in (
        ("LSTM", "module LSTM is not known here, and the graph lacks it"),
        ("x.Own", "author's own code"),
    ):
        modules[2]["type"] = f"sentence_transformers.models.{kind}" if kind == "LSTM" else kind
        (folder / "modules.json").write_text(json.dumps(modules))
        with pytest.raises(UnsupportedFormat, match=words):
            onnxpress.pipeline(model=folder)


def test_a_graph_that_pools_is_not_pooled_again(tmp_path: Path) -> None:
    pipe = onnxpress.pipeline(model=write_foreign(tmp_path / "folder", edits=[renamed("sentence_embedding")]))
    assert pipe.task == "sentence-similarity"
    assert pipe(["good good bad", "bad"]).tolist() == [[2, 1], [0, 1]]


def test_a_cross_encoder_is_known_by_its_marks(tmp_path: Path) -> None:
    config = {"id2label": {"0": "LABEL_0"}, "sentence_transformers": {"activation_fn": "torch.nn.Identity"}}

    def one_score(model: Any) -> None:
        table = np.zeros((9, 1), np.float32)
        table[4] = 1
        from onnx import numpy_helper

        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(table, "table"))
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1

    pipe = onnxpress.pipeline(model=write_foreign(tmp_path / "folder", edits=[one_score], config=config))
    assert pipe.task == "text-ranking"
    assert pipe(query="good", documents=["bad", "good"]) == [{"index": 1, "score": 2.0}, {"index": 0, "score": 1.0}]


REFUSED: dict[str, tuple[tuple[Edit, ...], dict[str, Any], str]] = {
    "labels of another model": ((), {"id2label": {"0": "a", "1": "b", "2": "c"}}, "names 3 labels.*gives 2 scores"),
    "an input that nobody gives": ((also_takes("bbox"),), {}, "takes bbox beside"),
    "a past in a reader": ((also_takes("cache_position"),), {}, "takes cache_position"),
    "ids of another kind": ((takes(TensorProto.STRING),), {}, "input_ids is None|string"),
}


@pytest.mark.parametrize(("edits", "config", "words"), REFUSED.values(), ids=REFUSED)
def test_a_contradiction_is_refused_with_both_sides(
    edits: tuple[Edit, ...], config: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match=words):
        onnxpress.pipeline(model=write_foreign(tmp_path / "folder", edits=edits, config=config))


HOSTILE: dict[str, tuple[str, bytes, type[Exception], str]] = {
    "no JSON": ("config.json", b"{", CorruptFile, "not JSON"),
    "not an object": ("config.json", b"[]", CorruptFile, "not a JSON object"),
    "a field twice": ("config.json", b'{"a": 1, "a": 2}', CorruptFile, "names a field twice"),
    "NaN": ("tokenizer_config.json", b'{"model_max_length": NaN}', CorruptFile, "NaN is not JSON"),
    "nested": ("config.json", b"[" * 200_000, CorruptFile, "not JSON"),
    "huge": ("config.json", b" " * (17 << 20), CorruptFile, "more than such a file has"),
    "no tokenizer": ("tokenizer.json", b"{}", CorruptFile, "not a tokenizer"),
    "a pointer": ("onnx/model.onnx", b"version https://git-lfs.github.com/spec/v1\n", CorruptFile, "Git LFS"),
    "rubbish": ("onnx/model.onnx", b"\x00" * 64, ArtifactError, "model.onnx"),
}


@pytest.mark.parametrize(("name", "content", "error", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_folder_is_refused_by_name(
    name: str, content: bytes, error: type[Exception], words: str, tmp_path: Path
) -> None:
    folder = write_foreign(tmp_path / "folder")
    (folder / name).write_bytes(content)
    with pytest.raises(error, match=words):
        onnxpress.pipeline(model=folder)


def test_links_out_of_a_folder_are_refused(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder")
    for name in ("config.json", "onnx/model.onnx"):
        moved = tmp_path / "outside"
        (folder / name).rename(moved)
        (folder / name).symlink_to(moved)
        with pytest.raises(CorruptFile, match="outside"):
            onnxpress.pipeline(model=folder)
        (folder / name).unlink()
        moved.rename(folder / name)


def test_what_is_missing_is_named_with_what_supplies_it(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder")
    (folder / "tokenizer.json").rename(folder / "vocab.txt")
    with pytest.raises(CorruptFile, match=r"vocab.txt: it has no .UNK., .CLS., .SEP."):
        onnxpress.pipeline(model=folder)
    (folder / "vocab.txt").unlink()
    with pytest.raises(MissingFile, match=r"tokenizer=, a folder.*make it.*AutoTokenizer"):
        onnxpress.pipeline(model=folder)
    for name in ("weights.onnx", "others.onnx"):
        shutil.copy(folder / "onnx" / "model.onnx", folder / name)
    (folder / "onnx" / "model.onnx").unlink()
    with pytest.raises(UnsupportedFormat, match=r"none of its 2.*file_name='others.onnx' or 'weights.onnx'"):
        onnxpress.pipeline(model=folder)


def test_a_variant_is_chosen_by_name_and_fp32_otherwise(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "folder")
    write_foreign(tmp_path / "other", "onnx/model_quantized.onnx", edits=[takes(TensorProto.INT32)])
    (tmp_path / "other" / "onnx" / "model_quantized.onnx").rename(folder / "onnx" / "model_quantized.onnx")
    assert onnxpress.pipeline(model=folder).precision == "fp32"
    assert onnxpress.pipeline(model=folder, precision="q8")("good")[0]["label"] == "good"
    (folder / "onnx" / "model.onnx").unlink()
    assert onnxpress.pipeline(model=folder).precision == "q8"


@pytest.mark.parametrize("merged", [False, True], ids=["two decoders", "a merged one"])
def test_an_encoder_decoder_writes_what_its_graphs_say(merged: bool, tmp_path: Path) -> None:
    pipe = onnxpress.pipeline(model=write_encoder_decoder(tmp_path / "folder", merged=merged))
    assert pipe.task == "text2text-generation"
    ids = [pipe.tokenizer(text)["input_ids"] for text in TEXTS]
    expected = [pipe.tokenizer.decode(written(row, 6), skip_special_tokens=True) for row in ids]
    for options in ({"num_beams": 1}, {"num_beams": 1, "batch_size": 1}):
        results = pipe(TEXTS, max_new_tokens=6, do_sample=False, **options)
        assert [result["generated_text"] for result in results] == expected
    several = pipe(TEXTS, max_new_tokens=4, num_beams=3, num_return_sequences=2, do_sample=False)
    alone = [pipe(text, max_new_tokens=4, num_beams=3, num_return_sequences=2, do_sample=False) for text in TEXTS]
    assert several == alone
