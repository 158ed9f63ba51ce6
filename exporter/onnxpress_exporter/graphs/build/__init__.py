"""Graphs of models that write, made from their weights instead of traced.

A reader (readers/MODEL_TYPE.py) makes an `Architecture` of a model: data. `graphs.py` makes graphs of that: `stack.py`
has the layers around the residual stream, `attention.py`, `mlp.py`, `embed.py` and `positions.py` what is in them, and
`linear.py` every product with weights.
"""

from onnxpress_exporter.graphs.build.graphs import build_graphs, decoder_graph, embed_graph
from onnxpress_exporter.graphs.build.reading import read

__all__ = ["build_graphs", "decoder_graph", "embed_graph", "read"]
