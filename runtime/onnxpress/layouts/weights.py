"""Which precision a graph has whose file's name does not tell. Opens no weights."""

from __future__ import annotations

from onnxpress.format.precisions import PRECISIONS
from onnxpress.graphcheck.scan import GraphFile


def precision_of(graph: GraphFile) -> str:
    """The name of the precision that its operators, and the numbers it returns, are of."""
    half = any(value.dtype == "float16" for value in (*graph.takes, *graph.returns))
    rows = [row for row in PRECISIONS.values() if not row.operators.isdisjoint(graph.operators)]
    # Where no operator tells, numbers are as they were trained.
    rows = rows or [row for row in PRECISIONS.values() if row.dtypes]
    return [row for row in rows if row.half == half or row is rows[0]][-1].name
