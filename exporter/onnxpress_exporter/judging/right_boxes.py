"""Reads the right boxes of a picture from a cell of a table; an error names the place of the cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.boxes import EDGES
from onnxpress_exporter.judging.cells import Cell


def right_boxes(cell: Cell, labels: Sequence[str]) -> list[Mapping[str, Any]]:
    """The right boxes of a picture: a list of {"label", "box": {"xmin", ...}} or of {"category", "bbox": [x, y, width,
    height]}, or one object of such lists, as datasets of the Hub have them.

    Raises:
        InputError: it is none of these, or a label is none of the model's.
    """
    value = cells.parsed(cell.value)
    if isinstance(value, Mapping):
        columns = {name: column for name, column in value.items() if isinstance(column, (list, tuple))}
        if len({len(column) for column in columns.values()}) != 1:
            cell.fail("lists of one length")
        value = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    entries = cells.several(Cell(value, cell.place, cell.classes), cells.mapping, "boxes")
    return [
        _right_box(Cell(entry, f"{cell.place}, entry {n}", cell.classes), labels) for n, entry in enumerate(entries, 1)
    ]


#: What datasets call the label of a box.
_LABELS = ("label", "category", "category_id")


def _right_box(cell: Cell, labels: Sequence[str]) -> Mapping[str, Any]:
    entry = cell.value
    name = next((name for name in _LABELS if name in entry), None)
    corner_names = entry.get("box")
    sides = entry.get("bbox")
    if isinstance(corner_names, Mapping) and all(edge in corner_names for edge in EDGES):
        edges = [cells.number(Cell(corner_names[edge], cell.place)) for edge in EDGES]
    elif isinstance(sides, (list, tuple)) and len(sides) == len(EDGES):
        left, top, width, height = (cells.number(Cell(side, cell.place)) for side in sides)
        edges = [left, top, left + width, top + height]
    else:
        edges = []
    if name is None or not edges:
        cell.fail(
            '{"label": ..., "box": {"xmin": ..., "ymin": ..., "xmax": ..., "ymax": ...}} or {"category": ..., "bbox": '
            "[x, y, width, height]}"
        )
    label = cells.label(Cell(entry[name], cell.place, cell.classes), labels)
    return {"label": label, "box": dict(zip(EDGES, edges, strict=True))}
