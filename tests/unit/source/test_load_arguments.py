"""What sentence-transformers passes on to transformers: understood, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.load_arguments import LoadArguments, read_load_arguments

EMBEDS = "feature-extraction"
SCORES = "sequence-classification"


def write(folder: Path, name: str = "sentence_bert_config.json", **fields: Any) -> Path:
    (folder / name).write_text(json.dumps(fields), encoding="utf-8")
    return folder


def test_without_a_file_positions_bound_the_text(tmp_path: Path) -> None:
    assert read_load_arguments(tmp_path, EMBEDS) == LoadArguments(bounded=True)


@pytest.mark.parametrize("config", ["config_kwargs", "config_args"])
@pytest.mark.parametrize("processor", ["processor_kwargs", "tokenizer_args"])
@pytest.mark.parametrize("model", ["model_kwargs", "model_args"])
def test_old_and_present_names(tmp_path: Path, config: str, processor: str, model: str) -> None:
    fields = {
        config: {"num_hidden_layers": 1, "trust_remote_code": True, "revision": "x"},
        processor: {"padding_side": "left", "token": "secret"},
        model: {"torch_dtype": "float16", "attn_implementation": "eager"},
    }
    found = read_load_arguments(write(tmp_path, **fields), EMBEDS)
    assert found == LoadArguments({"num_hidden_layers": 1}, {"padding_side": "left"}, bounded=True)


def test_a_file_of_an_old_name(tmp_path: Path) -> None:
    found = read_load_arguments(write(tmp_path, "sentence_roberta_config.json", max_seq_length=7), EMBEDS)
    assert found.tokenizer == {"model_max_length": 7}


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ({"max_seq_length": 64}, 64),
        ({"max_seq_length": None}, None),
        ({"max_seq_length": 64, "processor_kwargs": {"model_max_length": 12}}, 12),
        ({"max_seq_length": 64, "processing_kwargs": {"text": {"max_length": 9}}}, 9),
        ({"processing_kwargs": {"text": {"max_length": 9}, "common": {"max_length": 8}}}, 8),
        ({"processing_kwargs": {"text": {"padding": True, "truncation": "longest_first"}, "image": {"a": 1}}}, None),
    ],
)
def test_lengths(tmp_path: Path, fields: dict[str, Any], length: int | None) -> None:
    assert read_load_arguments(write(tmp_path, **fields), EMBEDS).tokenizer.get("model_max_length") == length


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pooling": "cls"}, "the field 'pooling', which this version does not understand"),
        ({"tokenizer_name_or_path": "elsewhere"}, "tokenizer_name_or_path"),
        ({"model_kwargs": {"variant": "fp16"}}, "model_kwargs has the field 'variant'"),
        ({"model_args": {"subfolder": "a", "gguf_file": "x"}}, "gguf_file"),
        ({"processing_kwargs": {"text": {"stride": 2}}}, "processing_kwargs: text has the field 'stride'"),
        ({"processing_kwargs": {"texts": {}}}, "'texts'"),
        ({"processing_kwargs": {"text": {"truncation": "only_first"}}}, "truncation 'only_first' is not supported"),
        ({"processing_kwargs": {"text": {"add_special_tokens": False}}}, "add_special_tokens False"),
        ({"config_kwargs": [1]}, "config_kwargs should be an object"),
        ({"max_seq_length": "many"}, "max_seq_length should be a number"),
        ({"max_seq_length": 0}, "max_seq_length should be a number from 1 on"),
        ({"query_length": 32}, "query_length"),
        ({"transformer_task": "fill-mask"}, "does fill-mask, not feature-extraction"),
        ({"modality_config": {"image": {}}}, "takes image, not plain text"),
    ],
)
def test_what_is_refused_by_name(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedCheckpoint, match=words):
        read_load_arguments(write(tmp_path, **fields), EMBEDS)


@pytest.mark.parametrize(
    ("task", "modalities", "output", "words"),
    [
        (
            EMBEDS,
            {"text": {"method": "forward", "method_output_name": "pooler_output"}},
            "sentence_embedding",
            "pooler",
        ),
        (EMBEDS, {"text": {"method": "get_text_features", "method_output_name": "last_hidden_state"}}, "", "get_text"),
        (
            EMBEDS,
            {"text": {"method": "forward", "method_output_name": ["hidden_states", -2]}},
            "token_embeddings",
            "-2",
        ),
        (SCORES, {"text": {"method": "forward", "method_output_name": "logits"}}, "logits", "module_output_name"),
        (
            EMBEDS,
            {
                "text": {"method": "forward", "method_output_name": "last_hidden_state"},
                "message": {"method": "forward", "method_output_name": "last_hidden_state"},
            },
            "token_embeddings",
            "chat template",
        ),
    ],
)
def test_other_outputs_are_refused(
    tmp_path: Path, task: str, modalities: dict[str, Any], output: str, words: str
) -> None:
    fields = {"transformer_task": task, "modality_config": modalities, "module_output_name": output}
    with pytest.raises(UnsupportedCheckpoint, match=words):
        read_load_arguments(write(tmp_path, **fields), task)
