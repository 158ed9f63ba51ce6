"""token-classification: the entities of a text, each with its group and its characters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.figures import batch_disagreement, compare_entities
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.metrics import ENTITIES, Evaluation
from onnxpress_exporter.tasks.outputs import token_logits
from onnxpress_exporter.tasks.postprocessing import labelled
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes

#: A text, and its entities: (group, start, end), in characters.
Marked = tuple[str, frozenset[Any]]


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    if "tokens" not in rows[0]:
        marked = [_marked(row) for row in rows]
        return Evaluation(name, ENTITIES, [text for text, _ in marked], marked)
    tagged = [_tagged(row, manifest.postprocessing.labels) for row in rows]
    # The label of a word is that of its first token, as taggers are trained and measured.
    options = {"aggregation_strategy": "first"}
    return Evaluation(name, ENTITIES, [text for text, _ in tagged], tagged, options)


def _tagged(row: Mapping[str, Cell], labels: Sequence[str]) -> Marked:
    """Words and their tags: the words with spaces between them, and in that text the entities."""
    words = cells.several(row["tokens"], cells.text, "words")
    tags = cells.several(row["tags"], lambda cell: cells.label(cell, labels), "labels")
    if len(words) != len(tags):
        row["tags"].fail(f"{len(words)} labels, one for each word")
    if not words:
        row["tokens"].fail("at least one word")
    text, starts = " ".join(words), [0]
    for word in words:
        starts.append(starts[-1] + len(word) + 1)
    spans = {
        (group, starts[first], starts[last] + len(words[last])) for group, first, last in _runs(tags) if group != "O"
    }
    return text, frozenset(spans)


def _runs(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """(group, first, last) of neighbours with the same tag; a B- begins a new one. As the pipeline groups them."""
    first = 0
    for place in range(1, len(tags) + 1):
        if place == len(tags) or tags[place].startswith("B-") or _bare(tags[place]) != _bare(tags[first]):
            yield tags[first].split("-", 1)[-1], first, place - 1
            first = place


def _bare(tag: str) -> str:
    return tag[2:] if tag.startswith(("B-", "I-")) else tag


def _marked(row: Mapping[str, Cell]) -> Marked:
    """A text, and its entities by their characters."""
    text = cells.text(row["text"])
    spans = set()
    for entity in cells.several(row["entities"], lambda cell: cell, "entities"):
        values = cells.mapping(entity)
        start, end, label = (Cell(values.get(key), f"{entity.place}, {key!r}") for key in ("start", "end", "label"))
        if not cells.whole(start) < cells.whole(end) <= len(text):
            end.fail(f"a place after {start.value} and up to {len(text)}, where the text ends")
        spans.add((cells.text(label), cells.whole(start), cells.whole(end)))
    return text, frozenset(spans)


TOKEN_CLASSIFICATION = ExportTask(
    name="token-classification",
    head=Head("AutoModelForTokenClassification", ("ForTokenClassification",)),
    outputs=token_logits,
    postprocessing=labelled,
    probes=Probes(),
    items=plain_items,
    compare=compare_entities,
    beside_others=batch_disagreement(compare_entities),
    metric=Metric(
        (
            {"tokens": ("tokens", "words"), "tags": ("ner_tags", "tags", "labels", "ner", "pos_tags", "label")},
            {"text": ("text", "sentence"), "entities": ("entities", "spans")},
        ),
        _evaluation,
    ),
    options={"aggregation_strategy": "simple"},
)
