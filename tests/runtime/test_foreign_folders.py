"""An artifact without its manifest is a folder as transformers.js lays it out: it answers as it did, task by task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import onnxpress
from onnxpress import Artifact

from ..fixtures.foreign import without_manifest

TEXTS = ["Ada lives in Rome.", "a", "It was a great film, and Mr Smith of Acme in Oslo liked it very much indeed."]
#: Checkpoint -> its task, inputs, and options.
CALLS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "tiny-sentiment": ("text-classification", TEXTS, {"top_k": None}),
    "tiny-rating-regression": ("text-classification", TEXTS, {}),
    "tiny-topics-multilabel": ("text-classification", TEXTS, {"top_k": None}),
    "tiny-ner": ("token-classification", TEXTS, {"aggregation_strategy": "simple"}),
    "tiny-qa": ("question-answering", [{"question": "Who lives in Rome?", "context": text} for text in TEXTS], {}),
    "tiny-mlm": ("fill-mask", ["Ada lives in <mask>.", "The <mask> was a great film."], {}),
    "tiny-reranker": ("text-ranking", [{"query": "Rome", "documents": TEXTS}], {}),
    "tiny-lm": ("text-generation", TEXTS, {"max_new_tokens": 8, "do_sample": False}),
}


@pytest.mark.parametrize("name", CALLS)
def test_without_its_manifest_it_answers_as_before(
    name: str, trained: Callable[[str], Path], exported: Callable[..., Artifact], tmp_path: Path
) -> None:
    task, inputs, options = CALLS[name]
    artifact = exported(trained(name), task)
    with (
        onnxpress.pipeline(model=artifact) as ours,
        onnxpress.pipeline(model=without_manifest(artifact.folder, tmp_path / name)) as foreign,
    ):
        if ours.tokenizer.mask_token is not None:
            inputs = [t.replace("<mask>", ours.tokenizer.mask_token) if isinstance(t, str) else t for t in inputs]
        assert foreign.task == ours.task
        assert foreign(inputs, **options) == ours(inputs, **options)
        assert [foreign(item, **options) for item in inputs] == [ours(item, **options) for item in inputs]
        assert foreign.tokenizer.model_max_length == ours.tokenizer.model_max_length
        assert foreign.model.config.to_dict() == ours.model.config.to_dict()
