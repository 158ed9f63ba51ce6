"""fastembed: its own tokenization, batching, pooling and normalization around ONNX Runtime.

The model is registered as its documentation shows for one that is not in its list, from an ONNX file that optimum
exported and fused, as those in its list were (fastembed_conversion.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxpress_bench.backends import BackendSpec, Batching, NotMeasured
from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.fastembed_conversion import GRAPH, convert, register

#: Rows of a batch where the caller names none: fastembed's own default.
_OWN_ROWS = 256


class FastEmbed(Runner):
    """For throughput the pilot takes the fastest of its batchings; texts are only sorted if the caller does it."""

    batchings = (Batching(), Batching(8), Batching(8, sort=True), Batching(32, sort=True))
    distributions = libraries = ("fastembed",)
    converters = ("fastembed", "optimum-onnx", "onnxruntime", "torch")
    files = (f"{GRAPH}*",)
    _model: Any = None

    convert = staticmethod(convert)

    @staticmethod
    def check(spec: BackendSpec) -> None:
        """Raises NotMeasured for embeddings that it makes otherwise."""
        Runner.check(spec)
        if spec.settings["embedding"]["truncate_dimensions"]:
            raise NotMeasured("fastembed returns embeddings in their full length, and this model shortens them")

    def load(self) -> None:
        """Register the model and load it."""
        self._model = register(self.spec)

    def answer(self, items: Sequence[Any]) -> Sequence[Any]:
        """A batch in one call."""
        return list(self._model.embed(list(items), batch_size=len(items)))

    def one(self, item: Any) -> Any:
        """A text alone."""
        return next(iter(self._model.embed([item])))

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        """In its own batches where `batching` leaves that to it."""
        if batching.rows is None:
            return list(self._model.embed(list(items), batch_size=_OWN_ROWS))
        return super().many(items, batching)
