"""Opens graphs that are asked once and thrown away: nothing of them is written.

What such a graph has in common with the saved one that it was made from stays in that one's files, which ONNX Runtime
maps; what is new is handed over as it lies in memory. Repair asks such a graph for each site, and each differs from the
fp32 graph in one: writing them would write all the weights each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import onnx_ir

from onnxpress.engine.open_graphs import Unsaved
from onnxpress.engine.session import Session

#: Constants of fewer bytes travel in the graph: shapes and axes are read while it is loaded.
_SMALL_BYTES = 4096
#: Types of arrays that are handed over as they are.
_PLAIN = frozenset(map(np.dtype, (np.float32, np.float16, np.int8, np.uint8, np.int32, np.int64)))


@contextmanager
def opened(name: str, model: onnx_ir.Model, *, packed: bool = True) -> Iterator[Session]:
    """A session of one graph, which is not changed and not written, for as long as the context lasts."""
    with closing(Session({name: unsaved(model, packed=packed)})) as session:
        yield session


def unsaved(model: onnx_ir.Model, *, packed: bool = True) -> Unsaved:
    """The graph as ONNX Runtime reads it from memory.

    Args:
        packed: as of `Unsaved`.

    Raises:
        ValueError: its weights are in files of several folders.
    """
    copy = model.clone()
    weights, folders = {}, set()
    for name, value in copy.graph.initializers.items():
        tensor = value.const_value
        if isinstance(tensor, onnx_ir.ExternalTensor):
            folders.add(Path(tensor.base_dir).resolve())
        elif tensor is not None and tensor.nbytes > _SMALL_BYTES and not value.is_graph_output():
            array = np.ascontiguousarray(tensor.numpy())
            if array.dtype in _PLAIN:
                weights[name] = array
                value.const_value = onnx_ir.ExternalTensor(
                    "memory", 0, array.nbytes, tensor.dtype, shape=onnx_ir.Shape(array.shape), name=name, base_dir=""
                )
    if len(folders) > 1:
        raise ValueError(f"weights of one graph are in several folders: {', '.join(map(str, sorted(folders)))}")
    content: bytes = onnx_ir.to_proto(copy).SerializeToString()
    return Unsaved(content, next(iter(folders), Path()), weights, packed)
