"""What stands in an artifact for other libraries: sentence-transformers' files, and tokenizers' own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoConfig, AutoTokenizer

import onnxpress
from onnxpress import Artifact
from onnxpress_exporter.write.tokenizer_files import settings_for_all

Trained, Exported = Callable[[str], Path], Callable[..., Artifact]

OLD_KEYS = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
TEXTS = ["Ada lives in Rome.", "a", "  Oslo, Oslo!  ", "It was a great film: 12.5 of 10."]


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def test_an_embedder_says_how_its_vectors_are_made(trained: Trained, exported: Exported) -> None:
    checkpoint = trained("tiny-embedder")
    artifact = exported(checkpoint)
    folder = artifact.folder
    modules = {entry["path"]: entry["type"] for entry in read(folder, "modules.json")}
    assert modules == {
        "": "sentence_transformers.models.Transformer",
        "1_Pooling": "sentence_transformers.models.Pooling",
        "2_Dense": "sentence_transformers.models.Dense",
        "3_Normalize": "sentence_transformers.models.Normalize",
    }
    pooling = read(folder, "1_Pooling/config.json")
    assert {key: pooling[f"pooling_mode_{key}"] for key in OLD_KEYS} == {key: key == "mean_tokens" for key in OLD_KEYS}
    assert (pooling["pooling_mode"], pooling["word_embedding_dimension"]) == ("mean", 80)
    dense = read(folder, "2_Dense/config.json")
    assert (dense["in_features"], dense["out_features"], dense["bias"]) == (80, 64, True)
    assert dense["activation_function"] == "torch.nn.modules.activation.Tanh"
    weights, original = (load_file(place / "2_Dense" / "model.safetensors") for place in (folder, checkpoint))
    assert {name: array.tolist() for name, array in weights.items()} == {
        name: array.tolist() for name, array in original.items()
    }
    whole = read(folder, "config_sentence_transformers.json")
    assert whole["prompts"] == {"query": "query: ", "document": "document: "}
    assert set(artifact.manifest.files) >= {"modules.json", "1_Pooling/config.json", "2_Dense/model.safetensors"}


def test_the_library_itself_makes_the_same_vectors_of_these_files(
    trained: Trained, exported: Exported, tmp_path: Path
) -> None:
    """With the checkpoint's weights beside them, in the version of it that is installed here."""
    from sentence_transformers import SentenceTransformer

    checkpoint, artifact = trained("tiny-embedder"), exported(trained("tiny-embedder"))
    for name in artifact.manifest.files:
        if not name.startswith("onnx/"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes((artifact.folder / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes())
    theirs = SentenceTransformer(str(tmp_path)).encode(TEXTS, prompt_name="query")
    ours = onnxpress.pipeline(model=artifact, threads=1).encode(TEXTS, prompt_name="query")
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_a_cross_encoder_says_what_makes_its_scores(trained: Trained, exported: Exported) -> None:
    config = read(exported(trained("tiny-reranker")).folder, "config.json")
    assert config["sentence_transformers"]["activation_fn"].rpartition(".")[2] == "Identity"


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
@pytest.mark.parametrize("name", ["tiny-translator", "tiny-lm", "tiny-reranker", "tiny-embedder"])
def test_transformers_opens_the_same_tokenizer(name: str, trained: Trained, exported: Exported) -> None:
    folder = exported(trained(name)).folder
    ours, theirs = (AutoTokenizer.from_pretrained(place) for place in (folder, trained(name)))
    assert ours(TEXTS)["input_ids"] == theirs(TEXTS)["input_ids"]
    assert set(ours.all_special_tokens) == set(theirs.all_special_tokens)
    assert ours.model_max_length == theirs.model_max_length
    assert (folder / "special_tokens_map.json").is_file()


def test_a_tokenizer_s_own_files_are_there(trained: Trained, exported: Exported) -> None:
    checkpoint = trained("tiny-translator")
    artifact = exported(checkpoint)
    for name in ("source.spm", "target.spm", "vocab.json"):
        assert (artifact.folder / name).read_bytes() == (checkpoint / name).read_bytes()
        assert name in artifact.manifest.files


def test_settings_of_a_tokenizer_are_read_by_both_versions_of_transformers() -> None:
    new = {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<a>"], "model_max_length": 1e30}
    assert settings_for_all(new, "<pad>", 128) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "additional_special_tokens": ["<a>"],
        "model_max_length": 128,
        "pad_token": "<pad>",
    }
    named = {"extra_special_tokens": {"image_token": "<image>"}, "model_max_length": 64, "pad_token": "<p>"}
    assert settings_for_all(named, "<pad>", 32) == named
    assert settings_for_all(named, None, None) == named


def test_a_config_names_what_readers_of_encoders_look_for(tiny: Callable[..., Path], exported: Exported) -> None:
    checkpoint = tiny("distilbert", "text-classification")
    folder = exported(checkpoint, "text-classification").folder
    config, original = read(folder, "config.json"), read(checkpoint, "config.json")
    assert (config["hidden_size"], config["num_hidden_layers"]) == (original["dim"], original["n_layers"])
    loaded = AutoConfig.from_pretrained(folder).to_dict()
    assert {**loaded, "_name_or_path": ""} == {**AutoConfig.from_pretrained(checkpoint).to_dict(), "_name_or_path": ""}
