"""The precisions: one file each, which ends in the row of what it is; here, the table.

Nothing else is keyed by a precision's name. Knows no graph, no pass from inside, and neither torch nor onnx.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from onnxpress.format import precisions
from onnxpress.format.fidelity import FIGURES
from onnxpress_exporter.precisions.fp16 import FP16
from onnxpress_exporter.precisions.fp32 import FP32
from onnxpress_exporter.precisions.int8 import INT8
from onnxpress_exporter.precisions.q4 import Q4
from onnxpress_exporter.precisions.q4f16 import Q4F16
from onnxpress_exporter.precisions.q8 import Q8
from onnxpress_exporter.precisions.row import Precision

_ROWS = {row.name: row for row in (FP32, FP16, INT8, Q8, Q4, Q4F16)}

#: name -> row, in the order in which variants are listed.
PRECISIONS: Mapping[str, Precision] = MappingProxyType({name: _ROWS[name] for name in precisions.PRECISIONS})

#: What is made from fp32.
QUANTIZED: tuple[str, ...] = tuple(name for name in PRECISIONS if name != precisions.REFERENCE)


def loosest(figure: str) -> float:
    """The loosest threshold that any precision sets for a figure: beyond it, answers are not the model's."""
    limits = [row.thresholds[figure] for row in PRECISIONS.values() if figure in row.thresholds]
    return max(limits) if FIGURES[figure].smaller_is_better else min(limits)
