"""ONNX Runtime's own dynamic quantization of the artifact's fp32 graph: int8, per channel, as documented.

The activations share one range for each tensor, so that an answer depends on what else is in the batch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.base import BATCHINGS, Runner
from onnxpress_bench.backends.onnxruntime import open_session
from onnxpress_bench.workloads.encoding import load_tokenizer

_GRAPH = "model_dynamic_int8.onnx"


class DynamicInt8(Runner):
    """The quantized copy of the first graph that `settings["graph_files"]` names."""

    batchings = BATCHINGS
    distributions = libraries = ("onnxruntime", "tokenizers")
    converters = ("onnxruntime", "onnx")
    _session: Any = None

    @classmethod
    def prepare(cls, spec: BackendSpec) -> BackendSpec:
        """Quantize, unless the same graph was quantized before."""
        from onnxpress.format.hashing import sha256

        digest = sha256(Path(spec.settings["graph_files"][0]))
        spec = super().prepare(replace(spec, settings={**spec.settings, "graph_sha256": digest}))
        return replace(spec, settings={**spec.settings, "graph_files": [f"{spec.settings['converted']}/{_GRAPH}"]})

    @staticmethod
    def convert(spec: BackendSpec, target: Path) -> None:
        """By its documentation's advice."""
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        graph = onnx.load(spec.settings["graph_files"][0])
        weights = {tensor.name for tensor in graph.graph.initializer}
        for value in [value for value in graph.graph.value_info if value.name in weights]:
            graph.graph.value_info.remove(value)  # the quantizer transposes some weights, and forgets their shapes here
        quantize_dynamic(graph, target / _GRAPH, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)

    def load(self) -> None:
        """The tokenizer and a session."""
        self.tokenizer, self._session = load_tokenizer(self.spec), open_session(self.spec)

    def forward(self, batch: Any) -> Any:
        """The graph's first output."""
        return self._session.run(None, dict(batch))[0]
