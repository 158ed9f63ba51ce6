"""onnxruntime-genai's folders: what genai_config.json says is done, and what it would switch on is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import onnxpress
from onnxpress.errors import ArtifactError, CorruptFile, UnsupportedFormat

from ...fixtures.foreign_decoders import END, HEADS, PLACES, SIZE, WIDTH, WORDS, Shape, write_decoder
from .test_decoders import TEXTS, check

_INPUTS = {
    "input_ids": "input_ids",
    "attention_mask": "attention_mask",
    "position_ids": "position_ids",
    "past_key_names": "past_key_values.%d.key",
    "past_value_names": "past_key_values.%d.value",
}
_OUTPUTS = {"logits": "logits", "present_key_names": "present.%d.key", "present_value_names": "present.%d.value"}
_SEARCH = {"do_sample": False, "early_stopping": True, "max_length": PLACES, "num_beams": 1, "temperature": 1.0}


def write_genai(
    folder: Path,
    shape: Shape | None = None,
    *,
    file: str = "model.onnx",
    model: dict[str, Any] | None = None,
    decoder: dict[str, Any] | None = None,
    search: dict[str, Any] | None = None,
) -> Path:
    """A folder as the tool's builder writes it; entries over its own."""
    write_decoder(folder, {file: shape or Shape(fused=True, open_size=True)})
    (folder / "config.json").unlink()
    settings = {"log_id": "onnxruntime-genai", "provider_options": []}
    parts = {
        "session_options": settings,
        "filename": file,
        "head_size": SIZE,
        "hidden_size": WIDTH,
        "inputs": _INPUTS,
        "outputs": _OUTPUTS,
        "num_attention_heads": HEADS,
        "num_hidden_layers": 1,
        "num_key_value_heads": HEADS,
        **(decoder or {}),
    }
    whole = {
        "bos_token_id": 2,
        "context_length": PLACES,
        "decoder": parts,
        "eos_token_id": [END],
        "pad_token_id": 0,
        "type": "llama",
        "vocab_size": WORDS,
        **(model or {}),
    }
    content = {"model": whole, "search": {**_SEARCH, **(search or {})}}
    (folder / "genai_config.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("shape", [Shape(fused=True, open_size=True), Shape(), Shape(fused=True, count=True)])
def test_a_folder_opens_as_it_is(shape: Shape, tmp_path: Path) -> None:
    pipe = check(write_genai(tmp_path / "folder", shape))
    facts = {fact.what: fact for fact in pipe.adopted.facts}
    assert (pipe.adopted.layout, pipe.model.config.model_type) == ("onnxruntime-genai", "llama")
    assert facts["longest row"].value == f"{PLACES} tokens"
    assert {facts[what].source for what in ("longest row", "end of text", "model")} == {"genai_config.json"}


def test_names_are_the_templates(tmp_path: Path) -> None:
    names = {"past_key_values.0.key": "kin_0", "past_key_values.0.value": "vin_0", "input_ids": "tokens"}
    names |= {"present.0.key": "kout_0", "present.0.value": "vout_0", "logits": "scores", "position_ids": "places"}
    inputs = {**_INPUTS, "past_key_names": "kin_%d", "past_value_names": "vin_%d", "input_ids": "tokens"}
    outputs = {"logits": "scores", "present_key_names": "kout_%d", "present_value_names": "vout_%d"}
    decoder = {"inputs": {**inputs, "position_ids": "places"}, "outputs": outputs}
    check(write_genai(tmp_path / "folder", Shape(fused=True, names=names), decoder=decoder))
    with pytest.raises(UnsupportedFormat, match="input_ids is 'tokens', and the graph has input_ids, att"):
        onnxpress.pipeline(model=write_genai(tmp_path / "other", decoder=decoder | {"outputs": _OUTPUTS}))


def test_texts_end_and_are_searched_as_the_file_says(tmp_path: Path) -> None:
    usual = onnxpress.pipeline(model=write_genai(tmp_path / "usual"))
    options = {"max_new_tokens": 12, "return_full_text": False}
    words = [answer[0]["generated_text"].split() for answer in usual(TEXTS, **options)]
    first = usual.tokenizer.convert_tokens_to_ids(words[0])[0]
    ending = onnxpress.pipeline(model=write_genai(tmp_path / "ending", model={"eos_token_id": [END, first]}))
    assert ending(TEXTS[0], **options)[0]["generated_text"].split() == words[0][:1]
    alone = onnxpress.pipeline(model=write_genai(tmp_path / "alone", model={"eos_token_id": first}))
    assert alone(TEXTS[0], **options)[0]["generated_text"].split() == words[0][:1]
    penalty = write_genai(tmp_path / "penalty", search={"repetition_penalty": 50.0})
    assert onnxpress.pipeline(model=penalty)(TEXTS, **options) == usual(TEXTS, repetition_penalty=50.0, **options)
    short = onnxpress.pipeline(model=write_genai(tmp_path / "short", search={"max_length": 6}))
    assert len(short.tokenizer(short("good")[0]["generated_text"])["input_ids"]) <= 6 + 2
    # The tool's own defaults say nothing: beams stop as transformers' do.
    beams = {"num_beams": 3, "max_new_tokens": 6}
    assert usual(TEXTS, **beams) == usual(TEXTS, early_stopping=False, **beams)


def test_what_it_would_load_stays_unread(tmp_path: Path) -> None:
    options = {
        "custom_ops_library": str(tmp_path / "evil.so"),
        "provider_options": [{"evil": {"ep_library_path": "evil.so"}}],
        "config_entries": {"session.load_model_format": "evil"},
    }
    pipe = check(write_genai(tmp_path / "folder", decoder={"session_options": options}))
    unread = next(fact for fact in pipe.adopted.facts if fact.what == "left unread")
    assert unread.value == "config_entries, custom_ops_library, ep_library_path, provider_options"


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"decoder": {"filename": "../model.onnx"}}, CorruptFile, "no file inside"),
        ({"decoder": {"filename": "/etc/passwd"}}, CorruptFile, "no file inside"),
        ({"decoder": {"filename": "absent.onnx"}}, ArtifactError, "there is no such file"),
        ({"decoder": {"filename": 3}}, CorruptFile, "names no graph file"),
        ({"decoder": {"head_size": -8}}, CorruptFile, "-8 is no head_dim"),
        ({"decoder": {"head_size": 1 << 60}}, CorruptFile, "is no head_dim"),
        ({"model": {"context_length": 1e9}}, CorruptFile, "is no max_position_embeddings"),
        ({"model": {"vocab_size": True}}, CorruptFile, "True is no vocab_size"),
        ({"model": {"decoder": None}}, CorruptFile, "no object 'decoder'"),
        ({"model": {"encoder": {"filename": "encoder.onnx"}}}, UnsupportedFormat, "a part 'encoder'"),
        ({"model": {"vision": {"filename": "vision.onnx"}}}, UnsupportedFormat, "a part 'vision'"),
        ({"decoder": {"pipeline": [{"embeds": {}}]}}, UnsupportedFormat, "several graphs"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], error: type[Exception], says: str, tmp_path: Path) -> None:
    folder = write_genai(tmp_path / "folder", **changes)
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    with pytest.raises(error, match=says) as caught:
        onnxpress.pipeline(model=folder)
    assert "genai_config.json" in str(caught.value) or str(tmp_path) in str(caught.value)


def test_a_wrong_size_of_a_head_is_refused_by_name(tmp_path: Path) -> None:
    pipe = onnxpress.pipeline(model=write_genai(tmp_path / "folder", decoder={"head_size": 2 * SIZE}))
    with pytest.raises(onnxpress.OnnxpressError):
        pipe("good")


def test_a_graph_of_the_folder_by_its_path(tmp_path: Path) -> None:
    folder = write_genai(tmp_path / "folder")
    assert onnxpress.pipeline("text-generation", folder / "model.onnx").adopted.layout == "onnxruntime-genai"
    (tmp_path / "whole").mkdir()
    write_genai(tmp_path / "whole" / "cpu-int4")
    assert check(tmp_path / "whole", subfolder="cpu-int4").adopted.layout == "onnxruntime-genai"
