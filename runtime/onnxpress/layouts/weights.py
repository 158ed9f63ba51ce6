"""Which precision a graph has whose file's name does not tell. Opens no weights."""

from __future__ import annotations

from onnxpress.format.precisions import REFERENCE
from onnxpress.graphcheck.scan import GraphFile

#: Products with weights of four bits, as tools' builders make them.
_FOUR_BITS = frozenset({"MatMulNBits", "MatMulBnb4", "GatherBlockQuantized"})
_INTEGERS = frozenset({"MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul"})


def precision_of(graph: GraphFile) -> str:
    """The name of the precision that its operators, and the numbers it returns, are of."""
    half = any(value.dtype == "float16" for value in (*graph.takes, *graph.returns))
    if not _FOUR_BITS.isdisjoint(graph.operators):
        return "q4f16" if half else "q4"
    if not _INTEGERS.isdisjoint(graph.operators):
        return "int8"
    return "fp16" if half else REFERENCE
