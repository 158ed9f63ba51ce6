"""The artifact's graph in ONNX Runtime with `tokenizers`, by hand: what onnxpress.pipeline costs beside it.

With the setting "bare" a single call ends with the graph's output: tokenizer and session, and nothing after them.
"""

from __future__ import annotations

from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.base import BATCHINGS, Runner
from onnxpress_bench.workloads.encoding import load_tokenizer, tokenize


class OnnxRuntime(Runner):
    """The first graph of the variant that `settings["graph_files"]` names."""

    batchings = BATCHINGS
    distributions = libraries = ("onnxruntime", "tokenizers")
    _session: Any = None

    def load(self) -> None:
        """The tokenizer and a session."""
        self.tokenizer, self._session = load_tokenizer(self.spec), open_session(self.spec)

    def forward(self, batch: Any) -> Any:
        """The graph's first output."""
        return self._session.run(None, dict(batch))[0]

    def one(self, item: Any) -> Any:
        """The answer, or bare the graph's output."""
        return self.forward(tokenize(self, [item])) if self.spec.settings.get("bare") else self.answer([item])[0]


def open_session(spec: BackendSpec) -> Any:
    """A session of the first graph that the spec names."""
    import onnxruntime as ort

    provider = "CUDAExecutionProvider" if spec.device.startswith("cuda") else "CPUExecutionProvider"
    return ort.InferenceSession(spec.settings["graph_files"][0], session_options(spec), providers=[provider])


def session_options(spec: BackendSpec) -> Any:
    """ONNX Runtime's options: as many threads as all backends have, and nothing printed."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = spec.threads, 1, 4
    return options
