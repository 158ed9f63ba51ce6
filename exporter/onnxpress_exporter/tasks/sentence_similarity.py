"""sentence-similarity: vectors of a text, as sentence-transformers makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.format.manifest import EmbeddingSettings, Manifest, Postprocessing
from onnxpress.pipelines.beside_vectors import kinds_of
from onnxpress_exporter.graphs.spec import Traceable
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.figures import batch_distance, compare_embeddings
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.metrics import SIMILARITY, Evaluation
from onnxpress_exporter.source.beside_vectors import has_layers
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.modules import query_modules
from onnxpress_exporter.source.multi_vectors import KINDS as MULTI_VECTOR
from onnxpress_exporter.source.sentence_transformers import (
    SentenceSettings,
    read_sentence_settings,
    saved_model_type,
    sentence_load_arguments,
)
from onnxpress_exporter.source.sparse_encoders import KIND as SPARSE
from onnxpress_exporter.source.static_embeddings import is_static
from onnxpress_exporter.tasks.beside_vectors import beside_row
from onnxpress_exporter.tasks.feature_extraction import BARE
from onnxpress_exporter.tasks.multi_vectors import multi_vector_row
from onnxpress_exporter.tasks.outputs import hidden_size, hidden_states
from onnxpress_exporter.tasks.query_route import with_queries
from onnxpress_exporter.tasks.row import ExportTask, Metric, Probes
from onnxpress_exporter.tasks.sentence_files import write_embedder
from onnxpress_exporter.tasks.sentence_head import traceable_head
from onnxpress_exporter.tasks.sparse_vectors import sparse_row
from onnxpress_exporter.tasks.static_vectors import static_row
from onnxpress_exporter.tasks.whole import compare_with_library, our_vectors, their_vectors


def _claims(checkpoint: Checkpoint) -> bool:
    kind = saved_model_type(checkpoint.folder)
    return kind != "CrossEncoder" and (kind is not None or has_layers(checkpoint.folder))


def _suited(checkpoint: Checkpoint) -> ExportTask | None:
    """Of a checkpoint whose vectors are not one dense vector of a text, or not of a transformer."""
    row = _of_kind(checkpoint)
    if query_modules(checkpoint.folder):
        return with_queries(row or SENTENCE_SIMILARITY, checkpoint)
    return row


def _of_kind(checkpoint: Checkpoint) -> ExportTask | None:
    kind = saved_model_type(checkpoint.folder)
    if kind in (None, "SentenceTransformer") and has_layers(checkpoint.folder):
        return beside_row(SENTENCE_SIMILARITY, checkpoint)
    if kind == "SentenceTransformer" and is_static(checkpoint.folder):
        return static_row(SENTENCE_SIMILARITY)
    if kind == SPARSE:
        return sparse_row(SENTENCE_SIMILARITY, checkpoint)
    return multi_vector_row(SENTENCE_SIMILARITY, checkpoint) if kind in MULTI_VECTOR else None


def _settings(checkpoint: Checkpoint, model: Any) -> SentenceSettings:
    return read_sentence_settings(checkpoint.folder, hidden_size(model))


def _postprocessing(checkpoint: Checkpoint, model: Any) -> Postprocessing:
    settings = _settings(checkpoint, model)
    return Postprocessing(
        embedding=EmbeddingSettings(
            pooling=settings.pooling,
            dimensions=settings.embedding_dim,
            normalize=settings.normalize,
            include_prompt=settings.include_prompt,
            prompts=dict(settings.prompts),
            default_prompt_name=settings.default_prompt_name,
            max_length=settings.max_seq_length,
            similarity=settings.similarity,
            truncate_dimensions=settings.truncate_dim,
            empty_is_zero=is_static(checkpoint.folder),
        )
    )


def _graphs_after(checkpoint: Checkpoint, model: Any, allow_pickled_weights: bool) -> Sequence[Traceable]:
    """The layers after pooling, where there are any."""
    return traceable_head(_settings(checkpoint, model), allow_pickled_weights=allow_pickled_weights)


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    items = [cells.text(row[role], empty=True) for row in rows for role in ("sentence1", "sentence2")]
    return Evaluation(name, SIMILARITY, items, cells.spread([row["score"] for row in rows]), {"kinds": None})


def _judged_options(manifest: Manifest) -> Mapping[str, Any]:
    """All that a model gives of a text is judged, where that is more than one vector."""
    embedding = manifest.postprocessing.embedding
    return {} if embedding is None or embedding.beside is None else {"kinds": kinds_of(embedding)}


SENTENCE_SIMILARITY = ExportTask(
    name="sentence-similarity",
    head=BARE,
    outputs=hidden_states,
    postprocessing=_postprocessing,
    probes=Probes(),
    items=plain_items,
    compare=compare_embeddings,
    beside_others=batch_distance,
    metric=Metric(
        (
            {
                "sentence1": ("sentence1", "text1", "sentence_A", "sentence_a", "premise"),
                "sentence2": ("sentence2", "text2", "sentence_B", "sentence_b", "hypothesis"),
                "score": ("score", "similarity", "similarity_score", "relatedness_score", "label", "labels"),
            },
        ),
        _evaluation,
    ),
    aliases=("embedding", "sentence-embedding"),
    claims=_claims,
    load_arguments=lambda checkpoint: sentence_load_arguments(checkpoint.folder),
    compare_whole=compare_with_library("SentenceTransformer", their_vectors, our_vectors),
    graphs_after=_graphs_after,
    suited=_suited,
    options={"sparse": False},
    options_of=_judged_options,
    files_of_library=write_embedder,
)
