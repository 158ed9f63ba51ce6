"""PyTorch with transformers' tokenizer: in float32, eager, the backend that the others are compared with.

The model is called directly, without gradients, as its documentation shows (pytorch_calls.py); token-classification,
fill-mask and zero-shot-classification go through transformers' pipeline, and so does everything with the setting
"pipeline". Other settings: "dtype", "compile". The task's files and models: pytorch_checkpoint.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from onnxpress_bench.backends.base import BATCHINGS, Runner
from onnxpress_bench.backends.pytorch_checkpoint import count_operations, prepare, product_bytes


class PyTorch(Runner):
    """The checkpoint that an artifact was made from, with the adapter that was merged into it."""

    batchings = BATCHINGS
    distributions = libraries = ("transformers", "torch")
    _model: Any = None
    _call: Callable[[list[Any]], Sequence[Any]]

    prepare = staticmethod(prepare)

    def load(self) -> None:
        """The model, as the task calls it."""
        import torch

        from onnxpress_bench.backends.pytorch_calls import open_call

        torch.set_num_threads(self.spec.threads)
        self._model, self._call = open_call(self.spec)

    def answer(self, items: Sequence[Any]) -> Sequence[Any]:
        """The answers to one batch."""
        return self._call(list(items))

    def operations(self, items: Sequence[Any]) -> tuple[float, float]:
        """Floating point operations of one batch, and bytes of the weights that its products read."""
        return count_operations(self._model, lambda: self._call(list(items))), product_bytes(self._model)
