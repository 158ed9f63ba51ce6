"""Decoders of other tools write what their graphs say, alone, in batches and in beams, whatever shape they have."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import onnxpress
from onnxpress.errors import AdoptionWarning, CorruptFile

from ...fixtures.foreign_decoders import Shape, decoder, held, merged_decoder, write_decoder, written

TEXTS = ["good", "a very bad film", "good good film", "bad bad bad", "a film", "very very very very good bad film"]
EXPORTED = {
    f"{kind}.0.{name}": f"{side}past_key_values.layers.0.{name}s"
    for kind, side in (("past_key_values", "input."), ("present", "output."))
    for name in ("key", "value")
}
FIRST = {name: theirs.removeprefix("output.") for name, theirs in EXPORTED.items()}

#: What a folder holds -> its graphs, by file, entries of config.json, and whether they have a state.
FOLDERS: dict[str, dict[str, Any]] = {
    "usual": {"graphs": {"model.onnx": Shape()}},
    "transformers.js": {"graphs": {"onnx/model.onnx": Shape()}},
    "fused attention": {"graphs": {"onnx/model.onnx": Shape(fused=True)}},
    "fused, counted, sizes open": {"graphs": {"onnx/model.onnx": Shape(fused=True, count=True, open_size=True)}},
    "fused, halves": {"graphs": {"onnx/model_q4f16.onnx": Shape(fused=True, kv=TensorProto.FLOAT16)}},
    "plain, halves": {"graphs": {"model.onnx": Shape(kv=TensorProto.FLOAT16)}},
    "counted": {"graphs": {"model.onnx": Shape(count=True)}},
    "keys of rows times heads": {"graphs": {"model.onnx": Shape("flat")}, "config": {"n_head": 2}},
    "keys and values together": {"graphs": {"model.onnx": Shape("together")}},
    "two graphs": {
        "graphs": {"decoder_model.onnx": Shape(past=False), "decoder_with_past_model.onnx": Shape(single=True)}
    },
    "the later one of two": {"graphs": {"decoder_with_past_model.onnx": Shape(single=True)}},
    "a state": {"graphs": {"onnx/model.onnx": Shape(states=True, fused=True, count=True)}, "states": True},
    "a state, plain": {"graphs": {"onnx/model.onnx": Shape(states=True)}, "states": True},
}


def check(folder: Path, states: bool = False, **arguments: Any) -> Any:
    """The pipeline of a folder, which writes what numpy does."""
    pipe = onnxpress.pipeline("text-generation", folder, **arguments)
    ids = [pipe.tokenizer(text)["input_ids"] for text in TEXTS]
    options: dict[str, Any] = {"max_new_tokens": 7, "do_sample": False, "return_full_text": False}
    expected = [pipe.tokenizer.decode(written(row, 7, states), skip_special_tokens=True) for row in ids]
    assert len(set(expected)) > 3
    assert [answer[0]["generated_text"] for answer in pipe(TEXTS, **options)] == expected
    assert [pipe(text, **options)[0]["generated_text"] for text in TEXTS] == expected
    several = {**options, "num_beams": 3, "num_return_sequences": 2}
    assert pipe(TEXTS, **several) == [pipe(text, **several) for text in TEXTS]
    return pipe


@pytest.mark.parametrize("name", FOLDERS)
def test_a_decoder_writes_what_its_graph_says(name: str, tmp_path: Path) -> None:
    case = FOLDERS[name]
    folder = write_decoder(tmp_path / "folder", case["graphs"], case.get("config"))
    check(folder, case.get("states", False))


def test_a_merged_decoder_reads_its_prompt_in_the_branch_without_a_past(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "folder", {})
    onnx.save(merged_decoder(), folder / "decoder_model_merged.onnx")
    check(folder)


def test_all_shapes_search_alike(tmp_path: Path) -> None:
    """Beams of every shape are those of the usual one."""
    options = {"max_new_tokens": 6, "do_sample": False, "num_beams": 4, "num_return_sequences": 3}
    answers = []
    for name in ("usual", "fused attention", "keys of rows times heads", "keys and values together", "two graphs"):
        folder = write_decoder(tmp_path / name, FOLDERS[name]["graphs"], FOLDERS[name].get("config"))
        answers.append(onnxpress.pipeline(model=folder)(TEXTS, **options))
    assert all(answer == answers[0] for answer in answers)


def test_a_folder_of_transformers_exporters(tmp_path: Path) -> None:
    graphs = {"prefill.onnx": Shape(past=False, names=FIRST), "decode.onnx": Shape(single=True, names=EXPORTED)}
    folder = write_decoder(tmp_path / "folder", graphs)
    components = {name: {"file": f"{name}.onnx", "metadata": {"architecture": "X"}} for name in ("prefill", "decode")}
    content = {"schema_version": 1, "export_format": "onnx", "components": components}
    (folder / "export.json").write_text(json.dumps(content))
    pipe = check(folder)
    assert pipe.adopted.layout == "transformers.exporters"
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).rename(tokenizer / name)
    check(folder, tokenizer=tokenizer)
    del components["prefill"]
    (folder / "export.json").write_text(json.dumps(content))
    check(folder, tokenizer=tokenizer)


@pytest.mark.parametrize(
    "shape",
    [Shape(), Shape(fused=True), Shape(fused=True, open_size=True), Shape(past=False), Shape(kv=TensorProto.FLOAT16)],
    ids=["a past", "fused", "sizes open", "no past", "halves"],
)
def test_a_reader_gets_a_past_of_no_tokens_and_places(shape: Shape, tmp_path: Path) -> None:
    """As the graphs of Qwen3's and Nomic's embedders; the tokenizer would pad on the left."""
    folder = write_decoder(tmp_path / "folder", {"model.onnx": replace(shape, reads=True)})
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "padding_side": "left"}))
    pipe = onnxpress.pipeline("feature-extraction", folder)
    expected = [
        [held(row[: end + 1]) for end in range(len(row))] for row in (pipe.tokenizer(t)["input_ids"] for t in TEXTS)
    ]
    for answers in (pipe(TEXTS, batch_size=6), [pipe(text) for text in TEXTS]):
        for answer, rows in zip(answers, expected, strict=True):
            np.testing.assert_allclose(answer[0], rows, atol=2e-2 if shape.kv != TensorProto.FLOAT else 1e-5)
    vectors = onnxpress.pipeline("sentence-similarity", folder, pooling="lasttoken").encode(TEXTS)
    np.testing.assert_allclose(vectors, [rows[-1] for rows in expected], atol=2e-2)
    assert onnxpress.load(folder)(TEXTS).last_hidden_state.shape[0] == len(TEXTS)


def test_a_variant_that_does_not_load_is_told_and_does_not_take_the_folder_down(tmp_path: Path) -> None:
    """As the halves of a graph with branches that a converter wrote: types that do not fit."""
    good = Shape()
    folder = write_decoder(tmp_path / "folder", {"onnx/model.onnx": good, "onnx/model_q4.onnx": good})
    broken = decoder(good)
    next(node for node in broken.graph.node if node.op_type == "Softmax").input[0] = "inside_four"
    onnx.save(broken, folder / "onnx" / "model_fp16.onnx")
    check(folder)
    with pytest.raises(CorruptFile, match=r"model_fp16.onnx: .* There is also: precision='fp32', precision='q4'"):
        onnxpress.pipeline(model=folder, precision="fp16")
    (folder / "onnx" / "model.onnx").unlink()
    with pytest.warns(AdoptionWarning, match=r"model_fp16.onnx: .* q4 runs in its place"):
        pipe = onnxpress.pipeline(model=folder)
    assert pipe.precision == "q4"
    (folder / "onnx" / "model_q4.onnx").unlink()
    with pytest.raises(CorruptFile, match="cannot load this graph"):
        onnxpress.pipeline(model=folder)
