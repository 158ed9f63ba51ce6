"""Writes a graph to files, byte for byte the same for the same graph. Does not know what the graph does."""

from __future__ import annotations

from pathlib import Path

import onnx_ir

# Weights beside the graph are mapped into memory, not parsed: about half the peak memory and half the time to load.
# Below this size that does not matter, and one file is simpler.
EXTERNAL_ABOVE_BYTES = 10_000_000


def save(model: onnx_ir.Model, path: Path) -> tuple[Path, ...]:
    """Write `model` to `path`; returns the files written, the graph first.

    Weights over 10 MB in total go to `<path>_data` beside it, as the Hub and transformers.js name
    it (`model.onnx_data`).
    """
    graphs = (model.graph, *model.graph.subgraphs())
    values = (value for graph in graphs for value in graph.initializers.values())
    total_bytes = sum(value.const_value.nbytes for value in values if value.const_value is not None)
    if total_bytes <= EXTERNAL_ABOVE_BYTES:
        onnx_ir.external_data.load_to_model(model)  # of a graph that had them elsewhere
        onnx_ir.save(model, path)
        return (path,)
    data = path.with_name(f"{path.name}_data")
    onnx_ir.save(model, path, external_data=data.name)
    return (path, data)
