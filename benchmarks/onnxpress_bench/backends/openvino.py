"""OpenVINO, on its own representation of the model, converted from PyTorch (openvino_conversion.py).

Set as its documentation advises for latency: the hint LATENCY, arrays shared with the caller in both directions, and a
cache of the compiled model for the start. Float32 is asked for, because some processors get bfloat16 otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.base import BATCHINGS, Runner
from onnxpress_bench.workloads.encoding import load_reader

_GRAPH = "model.xml"


class OpenVINO(Runner):
    """`settings`: quantization, None or "int8"."""

    batchings = BATCHINGS
    distributions = ("openvino", "tokenizers")
    libraries = ("openvino", "numpy", "tokenizers")
    converters = ("openvino", "torch", "transformers")
    files = (_GRAPH, "model.bin")
    _compiled: Any = None

    @classmethod
    def prepare(cls, spec: BackendSpec) -> BackendSpec:
        """Convert, and fill the cache of the compiled model."""
        spec = super().prepare(spec)
        cls(spec).load()
        return spec

    @staticmethod
    def convert(spec: BackendSpec, target: Path) -> None:
        """From the PyTorch model."""
        from onnxpress_bench.backends.openvino_conversion import convert

        convert(spec, target / _GRAPH)

    def load(self) -> None:
        """The tokenizer and the compiled model."""
        import openvino

        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        options |= {"INFERENCE_NUM_THREADS": self.spec.threads, "CACHE_DIR": str(self.folder / "cache")}
        self.tokenizer = load_reader(self.spec)
        self._compiled = openvino.Core().compile_model(self.folder / _GRAPH, "CPU", options)

    def forward(self, batch: Any) -> Any:
        """What is returned belongs to OpenVINO, and holds until the next call."""
        return self._compiled(dict(batch), share_inputs=True, share_outputs=True)[0]
