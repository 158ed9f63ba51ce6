"""Finds the column of each role in a table: a task names the usual columns, the user any others.

Knows nothing of tasks, nor of what cells hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxpress.errors import InputError
from onnxpress_exporter.judging.data import Table

#: Names of the labels of a text, in the datasets of the Hub.
LABELS = ("label", "labels", "class", "category", "score", "stars", "rating", "target", "coarse_label", "intent")
OBJECTS = ("objects", "annotations", "boxes", "detections")
PICTURES = ("image", "img", "picture", "file", "path")
SOUNDS = ("audio", "sound", "speech", "file", "path")
#: Pictures that hold a number for each pixel of another.
LABEL_MAPS = ("mask", "label", "labels", "annotation", "segmentation", "segmentation_mask", "semantic_segmentation")
DEPTH_MAPS = ("depth", "depth_map", "target")
TEXTS = ("text", "sentence", "content", "review", "comment", "tweet", "document", "query")

#: Name of the first text of a pair -> the second one's beside it.
PAIRS: Mapping[str, str] = {
    "text": "text_pair",
    "premise": "hypothesis",
    "sentence1": "sentence2",
    "question1": "question2",
    "question": "sentence",
}

#: role -> names of its column.
Layout = Mapping[str, Sequence[str]]


def find_columns(table: Table, task: str, layouts: Sequence[Layout], named: Mapping[str, str]) -> dict[str, str]:
    """Map roles to columns by the first of `layouts` that the table has. A column within another is "outer.inner".

    Args:
        task: for messages.
        layouts: the ways in which the task's rows are laid out.
        named: what the user says; these roles are not looked up.

    Raises:
        InputError: a role that the task does not have, or a column that the table lacks.
    """
    roles = sorted({role for layout in layouts for role in layout})
    for role, column in named.items():
        if role not in roles:
            raise InputError(f"--eval-column {role}={column}: {task} has the roles {', '.join(roles)}.")
        if column.partition(".")[0] not in table.columns:
            raise InputError(f"--eval-column {role}={column}: {table.name} has the columns {', '.join(table.columns)}.")
    for layout in layouts:
        columns = {role: named.get(role) or _first(table, names) for role, names in layout.items()}
        if set(named) <= set(layout) and all(columns.values()):
            return {role: column for role, column in columns.items() if column}
    wanted = "; or ".join(", ".join(roles) for roles in _shapes(layouts))
    raise InputError(
        f"{table.name}: {task} needs columns for {wanted}. It has {', '.join(table.columns)}. Name them with "
        "--eval-column ROLE=COLUMN."
    )


def _first(table: Table, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in table.columns), None)


def _shapes(layouts: Sequence[Layout]) -> list[tuple[str, ...]]:
    """The roles of each layout, each set of them once, the shortest first."""
    return sorted({tuple(layout) for layout in layouts}, key=lambda roles: (len(roles), roles))
