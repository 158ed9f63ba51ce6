"""Decoders of other tools write what their graphs say, alone, in batches and in beams, whatever shape they have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto

import onnxpress

from ...fixtures.foreign_decoders import Shape, merged_decoder, write_decoder, written

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
