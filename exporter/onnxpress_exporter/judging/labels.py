"""Makes an evaluation of inputs whose right answers are labels: one, several, or a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.metrics import LABEL, NUMBER, SEVERAL_LABELS, Evaluation


def of_labels(name: str, items: Sequence[Any], targets: Sequence[Cell], manifest: Manifest) -> Evaluation:
    """The rows of a task that answers with labels, as the artifact's kind of problem has them.

    Raises:
        InputError: a target is none of the model's labels; it names the place.
    """
    problem, labels = manifest.postprocessing.problem_type, manifest.postprocessing.labels
    if problem == "regression" or len(labels) == 1:
        return Evaluation(name, NUMBER, items, cells.spread(targets))
    if problem == "multi_label_classification":
        return Evaluation(name, SEVERAL_LABELS, items, _label_sets(targets, labels))
    return Evaluation(name, LABEL, items, [cells.label(cell, labels) for cell in targets])


def of_candidates(name: str, items: Sequence[Any], targets: Sequence[Cell]) -> Evaluation:
    """The rows of a task whose call names the labels: all that occur are the candidates.

    Raises:
        InputError: all rows have the same label; it names the place.
    """
    labels = [cells.class_name(cell) for cell in targets]
    candidates = sorted(set(labels))
    if len(candidates) < 2:
        targets[0].fail("labels that differ from row to row; here, all are the same")
    return Evaluation(name, LABEL, items, labels, {"candidate_labels": candidates})


def _label_sets(targets: Sequence[Cell], labels: Sequence[str]) -> list[frozenset[str]]:
    """Lists of names or ids; or, where every row has as many zeros and ones as there are labels, indicators."""
    lists = [cells.several(target, lambda cell: cell, "labels") for target in targets]
    if all(len(row) == len(labels) and all(cell.value in (0, 1) for cell in row) for row in lists):
        return [frozenset(label for label, cell in zip(labels, row, strict=True) if cell.value) for row in lists]
    return [frozenset(cells.label(cell, labels) for cell in row) for row in lists]
