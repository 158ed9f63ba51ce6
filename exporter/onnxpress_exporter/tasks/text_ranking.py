"""text-ranking: documents in the order of how well each answers a query, as a cross-encoder scores the pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from onnxpress.errors import InputError
from onnxpress.format.manifest import Manifest, Postprocessing
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.figures import batch_disagreement, compare_rankings
from onnxpress_exporter.judging.metrics import RANKING, Evaluation
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.cross_encoders import (
    cross_encoder_load_arguments,
    is_cross_encoder,
    read_cross_encoder,
)
from onnxpress_exporter.tasks.outputs import sequence_logits
from onnxpress_exporter.tasks.postprocessing import labelled
from onnxpress_exporter.tasks.row import ExportTask, Metric, Probes
from onnxpress_exporter.tasks.sentence_files import write_cross_encoder
from onnxpress_exporter.tasks.sequence_rows import answer_by_rows
from onnxpress_exporter.tasks.text_classification import SEQUENCE
from onnxpress_exporter.tasks.whole import compare_with_library, our_scores, their_scores

#: Documents of one judged query.
_DOCUMENTS = 6

_QUERY = ("query", "question")
_TEXTS = ("documents", "docs", "passages", "texts")


def _claims(checkpoint: Checkpoint) -> bool:
    return is_cross_encoder(checkpoint.folder, checkpoint.config)


def _postprocessing(checkpoint: Checkpoint, model: Any) -> Postprocessing:
    settings = read_cross_encoder(checkpoint.folder, checkpoint.config)
    return replace(
        labelled(checkpoint, model, settings.activation),
        prompts=dict(settings.prompts.texts),
        default_prompt_name=settings.prompts.default,
    )


def _items(texts: Sequence[str], manifest: Manifest) -> list[Any]:
    """Each text as the query for the six after it."""
    doubled = [*texts, *texts]
    return [{"query": text, "documents": doubled[i + 1 : i + 1 + _DOCUMENTS]} for i, text in enumerate(texts)]


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    items, targets = [], []
    for row in rows:
        documents = cells.several(row["documents"], lambda cell: cells.text(cell, empty=True), "texts")
        if len(documents) < 2:
            row["documents"].fail("two documents or more")
        items.append({"query": cells.text(row["query"]), "documents": documents})
        targets.append(_relevance(row, len(documents)))
    if not any(any(grades) for grades in targets):
        raise InputError(f"{name}: no document is relevant to any query, so no order is better than another.")
    return Evaluation(name, RANKING, items, targets)


def _relevance(row: Mapping[str, Cell], count: int) -> tuple[float, ...]:
    """How relevant each of `count` documents is: as graded, or by the places of the relevant ones, from 0."""
    if "relevant" in row:
        places = cells.several(row["relevant"], cells.whole, "places")
        if any(place >= count for place in places):
            row["relevant"].fail(f"places from 0 to {count - 1}")
        return tuple(float(place in places) for place in range(count))
    grades = cells.several(row["relevance"], _grade, "numbers")
    if len(grades) != count or min(grades) < 0:
        row["relevance"].fail(f"{count} numbers from 0, one for each document")
    return tuple(grades)


def _grade(cell: Cell) -> float:
    return float(cell.value) if isinstance(cell.value, bool) else cells.number(cell)


TEXT_RANKING = ExportTask(
    name="text-ranking",
    head=SEQUENCE,
    outputs=sequence_logits,
    postprocessing=_postprocessing,
    probes=Probes(pairs=True),
    by_rows=answer_by_rows,
    items=_items,
    compare=compare_rankings,
    beside_others=batch_disagreement(compare_rankings),
    metric=Metric(
        (
            {
                "query": _QUERY,
                "documents": _TEXTS,
                "relevance": ("relevance", "labels", "label", "relevances", "scores"),
            },
            {"query": _QUERY, "documents": _TEXTS, "relevant": ("relevant", "positives")},
        ),
        _evaluation,
    ),
    aliases=("rerank", "cross-encoder"),
    claims=_claims,
    compare_whole=compare_with_library("CrossEncoder", their_scores, our_scores),
    load_arguments=lambda checkpoint: cross_encoder_load_arguments(checkpoint.folder),
    files_of_library=write_cross_encoder,
)
