"""modules.json, settings of whole models, cross-encoders of version 6: read from hand-made files, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.cross_encoders import (
    cross_encoder_load_arguments,
    is_cross_encoder,
    read_cross_encoder,
)
from onnxpress_exporter.source.modules import sentence_modules, transformer_folder
from onnxpress_exporter.source.sentence_transformers import read_sentence_settings

TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
POOLING = "sentence_transformers.sentence_transformer.modules.pooling.Pooling"
NORMALIZE = "sentence_transformers.models.Normalize"
ONE_LABEL: dict[str, Any] = {"id2label": {"0": "LABEL_0"}}
SIGMOID, IDENTITY = "torch.nn.modules.activation.Sigmoid", "torch.nn.modules.linear.Identity"


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def embedder(folder: Path, *types: str, **settings: Any) -> Path:
    """A folder with modules of these types, and pooling of vectors of 8."""
    paths = ["", "1_Pooling", *(f"{number}_More" for number in range(2, len(types)))]
    entries = [
        {"idx": i, "name": str(i), "path": path, "type": t}
        for i, (path, t) in enumerate(zip(paths, types, strict=False))
    ]
    write(folder / "modules.json", entries)
    write(folder / "1_Pooling/config.json", {"word_embedding_dimension": 8})
    write(folder / "config.json", {"model_type": "bert"})
    write(folder / "config_sentence_transformers.json", settings)
    return folder


def ranker(folder: Path, *types: str, **settings: Any) -> Path:
    embedder(folder, *(types or (TRANSFORMER,)), model_type="CrossEncoder", **settings)
    write(folder / "sentence_bert_config.json", {"transformer_task": "sequence-classification"})
    return folder


@pytest.mark.parametrize(
    "types",
    [
        ("custom_st.Transformer", POOLING, NORMALIZE),
        (TRANSFORMER, "custom_st.Pooling", NORMALIZE),
        (TRANSFORMER, POOLING, "custom_st.Normalize"),
        (TRANSFORMER, POOLING, "other_library.Normalize"),
        (TRANSFORMER, POOLING, "Normalize"),
        (TRANSFORMER, POOLING, "sentence_transformers_extra.models.Normalize"),
    ],
)
def test_code_of_others_is_refused_by_name(tmp_path: Path, types: tuple[str, ...]) -> None:
    foreign = next(name for name in types if not name.startswith("sentence_transformers."))
    folder = embedder(tmp_path, *types)
    (folder / "custom_st.py").write_text("class Normalize: ...")
    package = foreign.partition(".")[0]
    whose = (
        "code of the checkpoint's own" if package in ("custom_st", "Normalize") else f"code of the package {package}"
    )
    with pytest.raises(UnsupportedCheckpoint, match=f"the module {foreign} is {whose}") as told:
        read_sentence_settings(folder, 8)
    assert "trusted or not" in str(told.value) and str(told.value).endswith("--task feature-extraction.")
    assert transformer_folder(folder) == folder  # which is what feature-extraction looks at


def test_modules_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    """As in the library, which does not read idx."""
    entries = [{"idx": 5, "name": "0", "path": "", "type": TRANSFORMER}, {"idx": 1, "name": "1", "type": NORMALIZE}]
    write(tmp_path / "modules.json", entries)
    assert [module.kind for module in sentence_modules(tmp_path)] == ["Transformer", "Normalize"]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"weights": "x"}, "the field 'weights'"), ({"name": "0"}, "two modules have one name")],
)
def test_entries_that_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    entries = [{"name": "0", "type": TRANSFORMER}, {"name": "1", "path": "1", "type": POOLING, **change}]
    write(tmp_path / "modules.json", entries)
    with pytest.raises(UnsupportedCheckpoint, match=words):
        sentence_modules(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config_sentence_transformers.json", {"whitening": True}, "the field 'whitening'"),
        ("config_sentence_transformers.json", {"activation_fn": SIGMOID}, "the field 'activation_fn'"),
        ("config_sentence_transformers.json", {"prompts": {"query": 3}}, "the prompt 'query' should be a text"),
        ("config_sentence_transformers.json", {"default_prompt_name": "poem"}, "'poem' is not among the prompts"),
        ("config_sentence_transformers.json", {"truncate_dim": 0}, "truncate_dim should be a number from 1 on"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "is a SparseEncoder, not a Sent"),
        ("1_Pooling/config.json", {"word_embedding_dimension": 8, "layers": 3}, "the field 'layers'"),
        ("2_More/config.json", {"p": 1}, "the field 'p'"),
        ("2_More/config.json", {"module_input_name": "token_embeddings"}, "works on token_embeddings"),
    ],
)
def test_fields_that_are_refused(tmp_path: Path, file: str, content: dict[str, Any], words: str) -> None:
    folder = embedder(tmp_path, TRANSFORMER, POOLING, NORMALIZE)
    write(folder / file, content)
    with pytest.raises(UnsupportedCheckpoint, match=words):
        read_sentence_settings(folder, 8)


def test_a_default_prompt_without_a_text_and_a_cut_beyond_the_end(tmp_path: Path) -> None:
    folder = embedder(tmp_path, TRANSFORMER, POOLING, default_prompt_name="query", truncate_dim=9)
    settings = read_sentence_settings(folder, 8)
    assert (settings.default_prompt_name, settings.prompts, settings.truncate_dim) == ("query", {"query": ""}, None)


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"architectures": ["BertModel"]}, "mean"),
        ({"architectures": ["Qwen3ForCausalLM"]}, "lasttoken"),
        ({"architectures": ["Qwen3ForCausalLM"], "is_causal": False}, "mean"),
    ],
)
def test_a_bare_model_is_pooled_as_the_library_does(tmp_path: Path, config: dict[str, Any], pooling: str) -> None:
    write(tmp_path / "config.json", config)
    assert read_sentence_settings(tmp_path, 8).pooling == (pooling,)


def test_a_cross_encoder_of_version_6(tmp_path: Path) -> None:
    prompts = {"web": "find: ", "empty": None}
    folder = ranker(tmp_path, activation_fn=IDENTITY, prompts=prompts, default_prompt_name="web")
    assert is_cross_encoder(folder, ONE_LABEL)
    found = read_cross_encoder(folder, ONE_LABEL)
    assert found.activation == "identity"
    assert (found.prompts.texts, found.prompts.default) == ({"web": "find: "}, "web")
    assert cross_encoder_load_arguments(folder).bounded


@pytest.mark.parametrize(
    ("settings", "config", "activation"),
    [
        ({}, {}, "sigmoid"),
        ({"activation_fn": None}, {"sentence_transformers": {"activation_fn": IDENTITY}}, "identity"),
        ({"activation_fn": SIGMOID}, {"sentence_transformers": {"activation_fn": IDENTITY}}, "sigmoid"),
        ({}, {"sbert_ce_default_activation_function": IDENTITY}, "identity"),
    ],
)
def test_where_an_activation_is_looked_for(
    tmp_path: Path, settings: dict[str, Any], config: dict[str, Any], activation: str
) -> None:
    folder = ranker(tmp_path, **settings)
    assert read_cross_encoder(folder, {**ONE_LABEL, **config}).activation == activation


@pytest.mark.parametrize(
    ("config", "found"),
    [(ONE_LABEL, True), ({"num_labels": 1}, True), ({}, False), ({"id2label": {"0": "a", "1": "b", "2": "c"}}, False)],
)
def test_one_score_makes_a_ranker(tmp_path: Path, config: dict[str, Any], found: bool) -> None:
    assert is_cross_encoder(ranker(tmp_path), config) is found


@pytest.mark.parametrize(
    ("types", "settings", "words"),
    [
        ((TRANSFORMER, POOLING), {}, "modules are Transformer, Pooling; only one Transformer"),
        (("custom_st.Transformer",), {}, "custom_st.Transformer is code of the package custom_st"),
        ((), {"activation_fn": "custom.Scale"}, "activation custom.Scale is not supported"),
        ((), {"default_prompt_name": "query"}, "'query' is not among the prompts"),
        ((), {"similarity_fn_name": "dot"}, "the field 'similarity_fn_name'"),
    ],
)
def test_cross_encoders_that_are_refused(
    tmp_path: Path, types: tuple[str, ...], settings: dict[str, Any], words: str
) -> None:
    folder = ranker(tmp_path, *types, **settings)
    with pytest.raises(UnsupportedCheckpoint, match=words):
        cross_encoder_load_arguments(folder)
        read_cross_encoder(folder, ONE_LABEL)
