"""Checkpoints whose sentence-transformers files say more than transformers' own: the answers are the library's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TASK = "sentence-similarity"
TEXTS = ["Where is the ΟΔΟΣ? İSTANBUL ǅ ẞ ﬁ", "PARIS", "the quick brown fox " * 30, "a <mask> b", ""]


def change(path: Path, **fields: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**content, **fields}), encoding="utf-8")


@pytest.fixture(scope="module")
def embedder(trained: Callable[[str], Path], shared: Path) -> Path:
    """Fewer layers, a longer text than the tokenizer's own limit, lower case, a prompt with a token, cut vectors."""
    folder = shared / "sentence-arguments"
    if not folder.exists():
        shutil.copytree(trained("tiny-embedder"), folder)
        arguments = {"config_args": {"num_hidden_layers": 1}, "do_lower_case": True, "max_seq_length": 48}
        change(folder / "sentence_bert_config.json", **arguments)
        change(folder / "tokenizer_config.json", model_max_length=24)
        prompts = {"query": "<mask> FIND: ", "document": ""}
        change(folder / "config_sentence_transformers.json", prompts=prompts, default_prompt_name="query")
        change(folder / "config_sentence_transformers.json", truncate_dim=9)
    return folder


def test_vectors(embedder: Path, ours: Callable[..., Any]) -> None:
    from sentence_transformers import SentenceTransformer

    theirs, pipe = SentenceTransformer(str(embedder), device="cpu"), ours(embedder, TASK)
    assert pipe.embedding.truncate_dimensions == 9
    for options in ({}, {"prompt_name": "document"}, {"prompt": "No <mask>: "}):
        np.testing.assert_allclose(pipe(TEXTS, **options), theirs.encode(TEXTS, **options), atol=1e-5)
    # A cut vector stays shorter than 1, unless that is asked for.
    assert (np.linalg.norm(pipe(TEXTS), axis=1) < 0.99).all()
    for dimensions in (4, 64):
        options = {"normalize": True, "dimensions": dimensions}
        expected = theirs.encode(TEXTS, normalize_embeddings=True, truncate_dim=dimensions)
        np.testing.assert_allclose(pipe(TEXTS, **options), expected, atol=1e-5)


def _with_tokens(folder: Path) -> None:
    """Two tokens with capitals that the texts of a model that lowers its texts have, too."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["QQ Find", "XYZ"])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = AutoModel.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)


_OF_TRANSFORMER, _OF_TOKENIZER = "sentence_bert_config.json", "tokenizer_config.json"
_OF_WHOLE = "config_sentence_transformers.json"


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("files", "change_more"),
    [
        ({_OF_TRANSFORMER: {"max_seq_length": 24, "tokenizer_args": {"truncation_side": "left"}}}, None),
        ({_OF_TRANSFORMER: {"config_args": {"hidden_act": "relu", "layer_norm_eps": 0.1}}}, None),
        ({_OF_TRANSFORMER: {"processor_kwargs": {"padding_side": "left"}}}, None),
        ({_OF_TRANSFORMER: {"max_seq_length": None}, _OF_TOKENIZER: {"model_max_length": 24}}, None),
        ({_OF_TRANSFORMER: {"do_lower_case": True}}, _with_tokens),
        (
            {
                _OF_TRANSFORMER: {"do_lower_case": True},
                _OF_WHOLE: {"prompts": {"query": "İ FIND ẞ: "}, "default_prompt_name": "query"},
            },
            None,
        ),
    ],
    ids=["cut-on-the-left", "config", "padded-on-the-left", "no-limit-but-the-tokenizer", "added-tokens", "prompt"],
)
def test_vectors_of_settings_like_these(
    trained: Callable[[str], Path],
    ours: Callable[..., Any],
    tmp_path: Path,
    files: dict[str, dict[str, Any]],
    change_more: Callable[[Path], None] | None,
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = shutil.copytree(trained("tiny-embedder"), tmp_path / "checkpoint")
    for name, fields in files.items():
        change(folder / name, **fields)
    if change_more is not None:
        change_more(folder)
    texts = [*TEXTS, "the quick brown fox " * 40 + "and its END", "QQ Find xyz XYZ", "say XYZ and qq find"]
    theirs, pipe = SentenceTransformer(str(folder), device="cpu"), ours(folder, TASK)
    np.testing.assert_allclose(pipe(texts), theirs.encode(texts), atol=1e-5)
    assert pipe.max_seq_length == theirs.max_seq_length


def test_scores_of_a_cross_encoder_of_version_6(
    trained: Callable[[str], Path], shared: Path, ours: Callable[..., Any]
) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    folder = shared / "cross-encoder-6"
    source = trained("tiny-reranker")
    prompts = {"web": "what is "}
    options = {"activation_fn": torch.nn.Sigmoid(), "prompts": prompts, "default_prompt_name": "web"}
    if not folder.exists():
        CrossEncoder(str(source), device="cpu", **options).save_pretrained(str(folder), create_model_card=False)
    theirs, pipe = CrossEncoder(str(folder), device="cpu"), ours(folder, "text-ranking")
    documents = ["the capital", "paris is a city", "", "fox " * 200]
    for call in ({}, {"prompt": "fox "}, {"prompt_name": "web"}):
        expected = theirs.predict([("paris", text) for text in documents], **call)
        scores = {row["index"]: row["score"] for row in pipe("paris", documents, **call)}
        np.testing.assert_allclose([scores[index] for index in range(len(documents))], expected, atol=1e-5)
