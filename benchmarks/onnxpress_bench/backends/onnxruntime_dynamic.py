"""ONNX Runtime's own dynamic quantization of the artifact's fp32 graph: int8, per channel, as documented.

The activations share one range for each tensor, so that an answer depends on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onnxpress.format.files import sha256
from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.conversion import conversion
from onnxpress_bench.backends.onnxruntime import OnnxRuntime

_GRAPH = "model_dynamic_int8.onnx"


class DynamicInt8(OnnxRuntime):
    """The quantized copy of the first graph that `settings["graph_files"]` names, which `prepare` makes."""

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        digest = sha256(Path(spec.settings["graph_files"][0]))
        spec = replace(spec, settings={**spec.settings, "graph_sha256": digest})
        folder = conversion(spec, ("onnxruntime", "onnx"), lambda target: _quantize(spec, target))
        path = str(folder / _GRAPH)
        return replace(spec, settings={**spec.settings, "graph_files": [path], "model_files": [path]})

    def model_files(self) -> Sequence[Path]:
        return [Path(name) for name in self.spec.settings["model_files"]]


def _quantize(spec: BackendSpec, target: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(spec.settings["graph_files"][0])
    weights = {one.name for one in graph.graph.initializer}
    for value in [one for one in graph.graph.value_info if one.name in weights]:
        graph.graph.value_info.remove(value)  # the quantizer transposes some weights, and forgets their shapes here
    quantize_dynamic(graph, target / _GRAPH, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
