"""Rows -> what a task's pipeline takes, the right answers, and the arguments of the call: an `Evaluation`.

The checkpoint shapes it: its labels, its problem type, its mask token. Knows no backend and computes no figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from onnxpress.errors import InputError
from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import find_columns
from onnxpress_exporter.judging.data import EvalData, Table, read
from onnxpress_exporter.judging.metrics import Evaluation

Row = Mapping[str, Cell]

#: How texts name the masked place, whatever the model's own mask token is.
MASKS = ("[MASK]", "<mask>")


def read_evaluation(data: EvalData, manifest: Manifest) -> Evaluation:
    """What `data` names, for the task and labels of an artifact.

    Raises:
        InputError: it cannot be read, a column is missing, or a row is not what the task takes.
        MissingDependency: the extra "eval" is not installed.
    """
    return evaluation_of(read(data), manifest, data.columns)


def evaluation_of(table: Table, manifest: Manifest, columns: Mapping[str, str] | None = None) -> Evaluation:
    """The rows of `table`, for the task and labels of an artifact.

    Args:
        columns: role -> column, where `columns.LAYOUTS` does not find it.

    Raises:
        InputError: a column is missing, or a row is not what the task takes; it names row, column and what was
            expected.
    """
    found = find_columns(table, manifest.task, columns or {})
    rows = list(cells.rows_of(table, found))
    return _MAKERS[manifest.task](f"{len(rows)} rows of {table.name}", rows, manifest)


def _classification(name: str, rows: Sequence[Row], manifest: Manifest) -> Evaluation:
    items = [_texts(row) for row in rows]
    given = [row["label"] for row in rows]
    problem, labels = manifest.postprocessing.problem_type, manifest.postprocessing.labels
    if problem == "regression" or len(labels) == 1:
        return Evaluation(name, "number", items, _spread(given))
    if problem == "multi_label_classification":
        return Evaluation(name, "several labels", items, _label_sets(given, labels))
    return Evaluation(name, "label", items, [cells.label(one, labels) for one in given])


def _texts(row: Row) -> Any:
    first = cells.text(row["text"], empty=True)
    if "text_pair" not in row:
        return first
    return {"text": first, "text_pair": cells.text(row["text_pair"])}


def _spread(given: Sequence[Cell]) -> list[float]:
    """Numbers that are not all the same: nothing correlates with those."""
    values = [cells.number(one) for one in given]
    if len(set(values)) < 2:
        given[0].fail("numbers that differ from row to row; here, all are the same")
    return values


def _label_sets(given: Sequence[Cell], labels: Sequence[str]) -> list[frozenset[str]]:
    """Lists of names or ids; or, where every row has as many zeros and ones as there are labels, indicators."""
    lists = [cells.several(one, lambda cell: cell, "labels") for one in given]
    if all(len(row) == len(labels) and all(cell.value in (0, 1) for cell in row) for row in lists):
        return [frozenset(label for label, cell in zip(labels, row, strict=True) if cell.value) for row in lists]
    return [frozenset(cells.label(cell, labels) for cell in row) for row in lists]


def _zero_shot(name: str, rows: Sequence[Row], manifest: Manifest) -> Evaluation:
    targets = [cells.class_name(row["label"]) for row in rows]
    candidates = sorted(set(targets))
    if len(candidates) < 2:
        rows[0]["label"].fail("labels that differ from row to row; here, all are the same")
    items = [cells.text(row["text"]) for row in rows]
    return Evaluation(name, "best label", items, targets, {"candidate_labels": candidates})


def _tokens(name: str, rows: Sequence[Row], manifest: Manifest) -> Evaluation:
    if "tokens" not in rows[0]:
        marked = [_marked(row) for row in rows]
        return Evaluation(name, "entities", [text for text, _ in marked], marked)
    tagged = [_tagged(row, manifest.postprocessing.labels) for row in rows]
    # The label of a word is that of its first token, as taggers are trained and measured.
    options = {"aggregation_strategy": "first"}
    return Evaluation(name, "entities", [text for text, _ in tagged], tagged, options)


def _tagged(row: Row, labels: Sequence[str]) -> tuple[str, frozenset[Any]]:
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


def _marked(row: Row) -> tuple[str, frozenset[Any]]:
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


def _questions(name: str, rows: Sequence[Row], manifest: Manifest) -> Evaluation:
    items = [{role: cells.text(row[role]) for role in ("question", "context")} for row in rows]
    targets = [cells.answers(row["answers"]) for row in rows]
    # Where some questions have no answer, the model may say so.
    options = {} if all(targets) else {"handle_impossible_answer": True}
    return Evaluation(name, "answers", items, targets, options)


def _pairs(name: str, rows: Sequence[Row], manifest: Manifest) -> Evaluation:
    items = [cells.text(row[role], empty=True) for row in rows for role in ("sentence1", "sentence2")]
    return Evaluation(name, "similarity", items, _spread([row["score"] for row in rows]))


def _rankings(name: str, rows: Sequence[Row], manifest: Manifest) -> Evaluation:
    items, targets = [], []
    for row in rows:
        documents = cells.several(row["documents"], lambda cell: cells.text(cell, empty=True), "texts")
        if len(documents) < 2:
            row["documents"].fail("two documents or more")
        items.append({"query": cells.text(row["query"]), "documents": documents})
        targets.append(_relevance(row, len(documents)))
    if not any(any(one) for one in targets):
        raise InputError(f"{name}: no document is relevant to any query, so no order is better than another.")
    return Evaluation(name, "ranking", items, targets)


def _relevance(row: Row, count: int) -> tuple[float, ...]:
    """How relevant each document is: given so, or by the places of the relevant ones, from 0."""
    if "relevant" in row:
        places = cells.several(row["relevant"], cells.whole, "places")
        if any(place >= count for place in places):
            row["relevant"].fail(f"places from 0 to {count - 1}")
        return tuple(float(place in places) for place in range(count))
    given = cells.several(row["relevance"], _grade, "numbers")
    if len(given) != count or min(given) < 0:
        row["relevance"].fail(f"{count} numbers from 0, one for each document")
    return tuple(given)


def _grade(cell: Cell) -> float:
    return float(cell.value) if isinstance(cell.value, bool) else cells.number(cell)


def _masked(name: str, rows: Sequence[Row], manifest: Manifest) -> Evaluation:
    settings = manifest.tokenizer
    if settings is None or "mask" not in settings.special_tokens:
        raise InputError("--eval-data: the artifact's tokenizer has no mask token. Export again.")
    mask = settings.special_tokens["mask"].text
    items = []
    for row in rows:
        text = cells.text(row["text"])
        for written in MASKS:
            text = text.replace(written, mask)
        if text.count(mask) != 1:
            row["text"].fail(f"a text with one {mask}")
        items.append(text)
    return Evaluation(name, "word", items, [cells.text(row["target"]).strip() for row in rows])


_MAKERS: Mapping[str, Callable[[str, Sequence[Row], Manifest], Evaluation]] = {
    "fill-mask": _masked,
    "question-answering": _questions,
    "sentence-similarity": _pairs,
    "text-classification": _classification,
    "text-ranking": _rankings,
    "token-classification": _tokens,
    "zero-shot-classification": _zero_shot,
}
