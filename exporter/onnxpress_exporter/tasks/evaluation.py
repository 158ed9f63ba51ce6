"""Makes an `Evaluation` of labelled rows: inputs of a task's pipeline, the right answers, arguments of the call.

The artifact shapes it: its task, its labels, its mask token. Knows no backend and computes no figure.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnxpress.errors import InputError
from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.columns import find_columns
from onnxpress_exporter.judging.data import EvalData, Table, read
from onnxpress_exporter.judging.metrics import Evaluation
from onnxpress_exporter.tasks import ROWS, TASKS


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
        columns: role -> column, where the task's layouts do not find it.

    Raises:
        InputError: the task has no metric, a column is missing, or a row is not what the task takes; it names row,
            column and what was expected.
    """
    metric = TASKS[manifest.task].metric
    if metric is None:
        measured = ", ".join(sorted(row.name for row in ROWS if row.metric is not None))
        raise InputError(
            f"--eval-data: {manifest.task} has no metric of its own, because its answers are not right or wrong. Tasks "
            f"that do: {measured}."
        )
    roles = find_columns(table, manifest.task, metric.layouts, columns or {})
    rows = list(cells.rows_of(table, roles))
    return metric.evaluate(f"{len(rows)} rows of {table.name}", rows, manifest)
