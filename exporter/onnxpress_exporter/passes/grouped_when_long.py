"""Queries are grouped in rows of many tokens only, where it takes less time: of fewer, nodes cost more than keys.

If(one token of one row, after 31 others at least, ...) -> If(one token of one row, after 511 others at least, ...)

For graphs that `grouped_queries` has rewritten, and that were judged: with its own constant, short texts judge it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.grouped_queries import ENOUGH

#: (Qwen2-0.5B's shape, AVX-512, a step, grouped over usual: 1.05 after 100 tokens, 1.02 after 400, 0.80 after 4,000.)
LONG_TOKENS = 512


def grouped_when_long(model: onnx_ir.Model) -> int:
    """Change the constant in place; how many there were."""
    enough = model.graph.initializers.get(ENOUGH)
    if enough is None:
        return 0
    enough.const_value = onnx_ir.tensor(np.array(LONG_TOKENS, np.int32), name=ENOUGH)
    return 1
