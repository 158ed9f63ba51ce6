"""Writes a graph to files, byte for byte the same for the same graph. Does not know what the graph does."""

from __future__ import annotations

from pathlib import Path

import onnx_ir

from onnxpress_exporter.errors import PassError

# Weights beside the graph are mapped into memory, not parsed: about half the peak memory and half the time to load.
# Below this size that does not matter, and one file is simpler.
EXTERNAL_ABOVE_BYTES = 10_000_000


#: Constants that a graph may have inside which are not among the weights that it shares with another.
_OWN_BYTES = 1_000_000


def save(model: onnx_ir.Model, path: Path, *, inside_bytes: int = EXTERNAL_ABOVE_BYTES) -> tuple[Path, ...]:
    """Write `model` to `path`; returns the files written, the graph first.

    Weights over 10 MB in total, or `inside_bytes`, go to `<path>_data` beside it, as the Hub and transformers.js name
    it (`model.onnx_data`).
    """
    graphs = (model.graph, *model.graph.subgraphs())
    values = (value for graph in graphs for value in graph.initializers.values())
    total_bytes = sum(value.const_value.nbytes for value in values if value.const_value is not None)
    if total_bytes <= inside_bytes:
        onnx_ir.external_data.load_to_model(model)  # of a graph that had them elsewhere
        onnx_ir.save(model, path)
        return (path,)
    data = path.with_name(f"{path.name}_data")
    onnx_ir.save(model, path, external_data=data.name)
    return (path, data)


def save_beside(model: onnx_ir.Model, path: Path) -> tuple[Path, ...]:
    """Write another form of a graph that was loaded from the same folder; weights that lie in a file of their own stay
    there. Returns the graph's file and those that it reads.

    Raises:
        PassError: it has large weights that the other one does not have.
    """
    tensors = [value.const_value for value in model.graph.initializers.values() if value.const_value is not None]
    beside = dict.fromkeys(tensor.location for tensor in tensors if isinstance(tensor, onnx_ir.ExternalTensor))
    apart = sum(tensor.nbytes for tensor in tensors if not isinstance(tensor, onnx_ir.ExternalTensor))
    if beside and apart > _OWN_BYTES:
        raise PassError(f"{path.name} would have {apart:,} bytes of weights of its own beside those that it shares.")
    onnx_ir.save(model, path)
    return (path, *(path.with_name(str(location)) for location in beside))
