"""PyTorch reads texts as the export does: with what a checkpoint's files of sentence-transformers ask for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.pytorch_checkpoint import load, prepare
from tests.conftest import MODELS

pytest.importorskip("torch")
TEXT = "A Good LONG text, and more of it than the model may read: One two three four five six"


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("sentence-similarity", {"max_seq_length": 9, "do_lower_case": True}),
        ("sentence-similarity", {"processor_kwargs": {"truncation_side": "left", "model_max_length": 7}}),
        ("sentence-similarity", {"tokenizer_args": {"model_max_length": 11}, "config_args": {"layer_norm_eps": 0.5}}),
    ],
    ids=["limit and case", "arguments", "old names"],
)
def test_tokens_and_settings_are_those_of_sentence_transformers(
    task: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = shutil.copytree(MODELS / "tiny-embedder", tmp_path / "checkpoint")
    path = folder / "sentence_bert_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    options = {"revision": None, "allow_pickled_weights": False, "trust_remote_code": False}
    tokenizer, model = load(prepare(BackendSpec("pytorch", "pytorch", task, str(folder), 1, settings=options)))
    reference: Any = SentenceTransformer(str(folder), device="cpu")[0]
    expected = reference.preprocess([TEXT])["input_ids"][0].tolist()
    assert tokenizer([TEXT], truncation=True)["input_ids"][0] == expected
    assert model.config.layer_norm_eps == reference.auto_model.config.layer_norm_eps


def test_a_plain_checkpoint_is_read_by_transformers_alone() -> None:
    options = {"revision": None, "allow_pickled_weights": False, "trust_remote_code": False}
    spec = BackendSpec(
        *("pytorch", "pytorch", "text-classification"), str(MODELS / "tiny-sentiment"), 1, settings=options
    )
    assert prepare(spec).settings["reading"] == {}
