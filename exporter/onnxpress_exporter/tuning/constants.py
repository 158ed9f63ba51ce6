"""Finds the values of a variant that bear one constant range for all rows, as many as the gate passes.

Repair works on all sites alike: where a few do not bear a constant range, each gets a range for each row. Of trained
checkpoints it is a few: of MiniLM, what GELU returns. Here each value's harm is measured alone, on the variant's own
graph, and as many get a constant range as its thresholds bear, those of least harm first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.constant_ranges import constant_ranges, row_ranges
from onnxpress_exporter.passes.integer_products import Range
from onnxpress_exporter.quantize.calibration import calibrate
from onnxpress_exporter.quantize.ranges import choose_range
from onnxpress_exporter.quantize.settings import Say
from onnxpress_exporter.quantize.sites import Site
from onnxpress_exporter.quantize.unsaved import opened

Arrays = Mapping[str, NDArray[Any]]

#: The ranges of values by name, of each graph by name.
Ranges = Mapping[str, Mapping[str, Range]]

#: Rows of real inputs on which the harm of one value is measured.
HARM_ROWS = 24


def ranked_ranges(
    graph: str, model: onnx_ir.Model, inputs: Sequence[Arrays], say: Say
) -> list[tuple[str, Range, float]]:
    """Values of a graph with a constant range for each and what it changes of the outputs: the squared difference, over
    their variance; the least first.

    Args:
        inputs: what the graph takes of real inputs, one row each.
    """
    rows = {str(row.value.name): row for row in row_ranges(model)}
    if not rows:
        return []
    sites = [Site(name, False, row.width, ()) for name, row in rows.items()]
    statistics = calibrate(model, sites, inputs, lambda share: say(f"watching its own values, {share:.0%}"))
    judged = inputs[:HARM_ROWS]
    with opened(graph, model) as session:
        expected = [session.run(arrays, graph) for arrays in judged]
    ranked = []
    for number, (name, row) in enumerate(rows.items()):
        say(f"measuring constant ranges, {number + 1} of {len(rows)}")
        chosen = choose_range(statistics[name].rows, row.importance, each_row=False)
        other = model.clone()
        constant_ranges(other, {name: chosen})
        with opened(graph, other) as session:
            outputs = [session.run(arrays, graph) for arrays in judged]
        ranked.append((name, chosen, _difference(outputs, expected)))
    return sorted(ranked, key=lambda entry: entry[2])


def most_that_pass(ranked: Sequence[Any], passes: Callable[[Sequence[Any]], bool]) -> Sequence[Any]:
    """The longest beginning that passes, if what is longer passes less: all of it is asked, then halves."""
    if not ranked or passes(ranked):
        return ranked
    known, refused = 0, len(ranked)
    while refused - known > 1:
        middle = (known + refused) // 2
        if passes(ranked[:middle]):
            known = middle
        else:
            refused = middle
    return ranked[:known]


def _difference(outputs: Sequence[Arrays], expected: Sequence[Arrays]) -> float:
    difference = spread = 0.0
    for obtained, wanted in zip(outputs, expected, strict=True):
        for name, array in wanted.items():
            if np.issubdtype(array.dtype, np.floating):
                difference += float(np.square(obtained[name] - array).sum())
                spread += float(np.square(array - array.mean()).sum())
    share = difference / max(spread, 1e-30)
    return share if np.isfinite(share) else float(np.finfo(np.float64).max)
