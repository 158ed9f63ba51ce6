"""sentence-similarity of a model with a vector for each token (ColBERT): nothing is pooled, queries are filled up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from onnxpress.format.manifest import EmbeddingSettings, Postprocessing
from onnxpress_exporter.source.checkpoint import Checkpoint, load_tokenizer
from onnxpress_exporter.source.multi_vectors import (
    MultiVectorSettings,
    multi_vector_load_arguments,
    read_multi_vector_settings,
)
from onnxpress_exporter.tasks.outputs import hidden_size
from onnxpress_exporter.tasks.row import ExportTask
from onnxpress_exporter.tasks.sentence_head import traceable_head
from onnxpress_exporter.tasks.whole import compare_with_library, our_token_vectors, their_token_vectors


def multi_vector_row(base: ExportTask, checkpoint: Checkpoint) -> ExportTask:
    """The task's row for a checkpoint whose vectors are of tokens."""
    return replace(
        base,
        postprocessing=_postprocessing,
        load_arguments=lambda checkpoint: multi_vector_load_arguments(checkpoint.folder),
        compare_whole=compare_with_library("MultiVectorEncoder", their_token_vectors, our_token_vectors),
        graphs_after=lambda checkpoint, model, pickled: traceable_head(
            _settings(checkpoint, model), allow_pickled_weights=pickled, tokens=True
        ),
        files_of_library=lambda checkpoint, model, folder, pickled: None,
    )


def _settings(checkpoint: Checkpoint, model: Any) -> MultiVectorSettings:
    return read_multi_vector_settings(checkpoint.folder, hidden_size(model))


def _postprocessing(checkpoint: Checkpoint, model: Any) -> Postprocessing:
    settings = _settings(checkpoint, model)
    tokenizer = load_tokenizer(checkpoint, multi_vector_load_arguments(checkpoint.folder))
    return Postprocessing(
        embedding=EmbeddingSettings(
            pooling=(),
            dimensions=settings.dimensions,
            normalize=settings.normalize,
            prompts=dict(settings.prompts),
            default_prompt_name=settings.default_prompt_name,
            max_length=settings.max_seq_length,
            similarity=settings.similarity,
            kind="tokens",
            tokens=settings.tokens(tokenizer),
        )
    )
