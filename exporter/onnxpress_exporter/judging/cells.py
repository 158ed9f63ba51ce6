"""Reads a cell of a table as a text, a number, a list or a label; an error names the place of the cell.

A cell of a CSV file that begins like JSON is read as JSON where a list is expected.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from onnxpress.errors import InputError
from onnxpress_exporter.judging.data import Table

Value = TypeVar("Value")

#: Labels of a message; the rest is counted.
_LISTED = 8


@dataclass(frozen=True, slots=True)
class Cell:
    """A value, and where it stands. `classes`: the dataset's own names of the integers in this column."""

    value: Any
    place: str
    classes: tuple[str, ...] = ()

    def fail(self, expected: str) -> NoReturn:
        """Raises InputError: this is not what was expected."""
        shown = repr(self.value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        raise InputError(f"{self.place}: expected {expected}, found {shown}.")


def rows_of(table: Table, columns: Mapping[str, str]) -> Iterator[dict[str, Cell]]:
    """The cells of each row by role; a column is a name, or a path into nested ones with dots."""
    for number, row in zip(table.numbers, table.rows, strict=True):
        cells = {}
        for role, column in columns.items():
            place = f"{table.name}, row {number}, column {column!r}"
            value: Any = row
            for part in [column] if column in row else column.split("."):
                if not isinstance(value, Mapping) or part not in value:
                    Cell(value, place).fail(f"something with {part!r}")
                value = value[part]
            cells[role] = Cell(value, place, table.classes.get(column, ()))
        yield cells


def text(cell: Cell, *, empty: bool = False) -> str:
    """Read a text, which is blank only where that is allowed."""
    # CSV has no types: a text of digits comes back as a number.
    value = str(cell.value) if isinstance(cell.value, (int, float)) and not _is_bool(cell.value) else cell.value
    if not isinstance(value, str) or not (empty or value.strip()):
        cell.fail("a text" if empty else "a text that is not empty")
    return value


def picture(cell: Cell) -> Any:
    """A picture as a pipeline takes it: a path, a data URI or bytes; or an object of datasets, with "bytes", "path"."""
    value = cell.value
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if not isinstance(value, (str, bytes)) or not value:
        cell.fail("a picture: a path, a data URI or bytes")
    return value


def sound(cell: Cell) -> Any:
    """A sound as a pipeline takes it: a path, a data URI, bytes, or an object of datasets with "bytes", "path", or
    "array" and "sampling_rate"."""
    value = cell.value
    if isinstance(value, Mapping) and value.get("array") is None:
        value = value.get("bytes") or value.get("path")
    if not isinstance(value, (str, bytes, Mapping)) or not value:
        cell.fail("a sound: a path, a data URI, bytes, or an object with an array and its sampling_rate")
    return value


def number(cell: Cell) -> float:
    """A finite number."""
    try:
        value = math.nan if cell.value is None or _is_bool(cell.value) else float(cell.value)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        cell.fail("a number")
    return value


def spread(cells: Sequence[Cell]) -> list[float]:
    """Read numbers, and refuse equal ones, with which nothing correlates."""
    values = [number(cell) for cell in cells]
    if len(set(values)) < 2:
        cells[0].fail("numbers that differ from row to row; here, all are the same")
    return values


def several(cell: Cell, read: Callable[[Cell], Value], what: str) -> list[Value]:
    """Read a list. An error in an entry names the place of the cell."""
    value = parsed(cell.value)
    if not isinstance(value, (list, tuple)):
        cell.fail(f"a list of {what}")
    return [read(Cell(entry, f"{cell.place}, entry {place}", cell.classes)) for place, entry in enumerate(value, 1)]


def label(cell: Cell, labels: Sequence[str]) -> str:
    """One of the model's labels, by its name in any case, or by its id.

    An id of a dataset that brings its own names counts by that name, if the model has any of the names: a dataset's
    order need not be the model's.
    """
    value = _whole(cell.value)
    if isinstance(value, int) and cell.classes and 0 <= value < len(cell.classes):
        known = any(_named(name, labels) is not None for name in cell.classes)
        if known:
            value = cell.classes[value]
        elif len(cell.classes) != len(labels):
            cell.fail(f"{_choice(labels)}; the dataset names its classes {', '.join(cell.classes[:_LISTED])}")
    if isinstance(value, str):
        if (name := _named(value, labels)) is not None:
            return name
        value = int(value) if value.strip().isdecimal() else value
    if not isinstance(value, int) or not 0 <= value < len(labels):
        cell.fail(_choice(labels))
    return labels[value]


def class_name(cell: Cell) -> str:
    """The name of a class where no list says which there are: a text, or an id of a dataset that brings its names."""
    value = _whole(cell.value)
    if isinstance(value, int) and 0 <= value < len(cell.classes):
        return cell.classes[value]
    if not isinstance(value, str) or not value.strip():
        cell.fail("the name of a label")
    return value


def answers(cell: Cell) -> tuple[str, ...]:
    """The right answers to a question, none where it has none: {"text": [...]}, a list of texts or of {"text": ...},
    or one text."""
    value = parsed(cell.value)
    if isinstance(value, Mapping):
        if "text" not in value:
            cell.fail('{"text": [...]}')
        value = value["text"]
    if value is None:
        return ()
    entries = value if isinstance(value, (list, tuple)) else [value]
    texts = [entry.get("text") if isinstance(entry, Mapping) else entry for entry in entries]
    if not all(isinstance(answer, (str, int, float)) and not _is_bool(answer) for answer in texts):
        cell.fail('{"text": [...]}, a list of texts, or a text')
    return tuple(str(answer) for answer in texts if str(answer))


def mapping(cell: Cell) -> Mapping[str, Any]:
    """An object with named entries."""
    if not isinstance(cell.value, Mapping):
        cell.fail('an object such as {"start": 0, "end": 4, "label": "PER"}')
    return cell.value


def whole(cell: Cell) -> int:
    """A whole number, not negative."""
    value = _whole(cell.value)
    if not isinstance(value, int) or value < 0:
        cell.fail("a whole number from 0")
    return value


def _named(name: str, labels: Sequence[str]) -> str | None:
    exact = (label for label in labels if label == name)
    return next(exact, None) or next((label for label in labels if label.casefold() == name.casefold()), None)


def _choice(labels: Sequence[str]) -> str:
    more = f", ... ({len(labels)} labels)" if len(labels) > _LISTED else ""
    return f"one of {', '.join(labels[:_LISTED])}{more}, or an id from 0 to {len(labels) - 1}"


def parsed(value: Any) -> Any:
    """What a text that begins like JSON says; anything else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _whole(value: Any) -> Any:
    """A number without a fraction as an int; all else, booleans too, as it is."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return str(value) if _is_bool(value) else value


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)
