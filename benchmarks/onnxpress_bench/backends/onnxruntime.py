"""The artifact's graph in ONNX Runtime with `tokenizers`, by hand: what onnxpress.pipeline costs beside it.

With the setting "bare" a single call ends with the graph's output: tokenizer and session, and nothing after them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_bench.backends.encoder import Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxpress_bench.backends.encoder import Arrays


class OnnxRuntime(Encoder):
    """The first graph of the variant that `settings["graph_files"]` names."""

    distributions: Sequence[str] = ("onnxruntime", "tokenizers")
    _session: Any = None

    def load_libraries(self) -> None:
        import numpy  # noqa: F401
        import onnxruntime  # noqa: F401
        import tokenizers  # noqa: F401

    def load_model(self) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = self.spec.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        providers = ["CUDAExecutionProvider" if self.spec.device.startswith("cuda") else "CPUExecutionProvider"]
        self._session = ort.InferenceSession(self.spec.settings["graph_files"][0], options, providers=providers)

    def model_files(self) -> Sequence[Path]:
        return [Path(name) for name in self.spec.settings["model_files"]]

    def forward(self, arrays: Arrays) -> NDArray[Any]:
        output: NDArray[Any] = self._session.run(None, dict(arrays))[0]
        return output

    def one(self, item: Any) -> Any:
        if self.spec.settings.get("bare"):
            return self.forward(self.tokenize([item]))
        return super().one(item)
