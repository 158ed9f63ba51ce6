"""optimum-onnx: ONNX Runtime behind classes that mirror transformers', on a graph that it exported and optimized.

PyTorch and transformers are imported with it, as they are for its users. Arrays are numpy's in both directions, which
it documents and which saves it the way through tensors.
"""

from __future__ import annotations

from typing import Any

from onnxpress_bench.backends.base import BATCHINGS, Runner
from onnxpress_bench.backends.onnxruntime import session_options
from onnxpress_bench.backends.optimum_conversion import TASKS, export_onnx
from onnxpress_bench.workloads.encoding import load_reader


class Optimum(Runner):
    """Its export, with its optimization level O2."""

    batchings = BATCHINGS
    distributions = ("optimum-onnx[onnxruntime]", "torch")
    libraries = ("optimum.onnxruntime", "numpy", "tokenizers", "torch")
    converters = ("optimum-onnx", "onnxruntime", "torch", "transformers")
    files = ("*.onnx*",)
    convert = staticmethod(export_onnx)
    _model: Any = None

    def load(self) -> None:
        """The tokenizer and its class for the task."""
        import optimum.onnxruntime
        import torch

        torch.set_num_threads(self.spec.threads)
        _, name, self._output = TASKS[self.spec.task]
        self.tokenizer = load_reader(self.spec)
        self._model = getattr(optimum.onnxruntime, name).from_pretrained(
            self.folder, session_options=session_options(self.spec), provider="CPUExecutionProvider"
        )

    def forward(self, batch: Any) -> Any:
        """The output that the task is about."""
        return self._model(**batch)[self._output]
