"""CTranslate2's encoder, converted from PyTorch by its own converter, in float32 or int8 (ctranslate2_conversion.py).

It takes lists of ids without padding, as its documentation shows, and batches them without wasting work on padding.
The layers that classify, after the encoder, are not its own: its documentation runs them in another library, here it is
numpy.
"""

from __future__ import annotations

from typing import Any

from onnxpress_bench.backends.base import BATCHINGS, Runner
from onnxpress_bench.backends.ctranslate2_conversion import check_kind, convert, load_head, open_model
from onnxpress_bench.workloads.encoding import load_tokenizer


class CTranslate2(Runner):
    """`settings`: quantization, "float32" without."""

    batchings = BATCHINGS
    distributions = ("ctranslate2", "tokenizers")
    libraries = ("ctranslate2", "numpy", "tokenizers")
    converters = ("ctranslate2", "torch", "transformers")
    pads = False
    check, convert = staticmethod(check_kind), staticmethod(convert)
    _encoder: Any = None
    _classify: Any = None

    def load(self) -> None:
        """The tokenizer, the encoder and the head, if there is one."""
        self.tokenizer = load_tokenizer(self.spec, pads=False)
        self._encoder = open_model(self.spec, "Encoder")
        self._classify = load_head(self.spec) if self.spec.task == "text-classification" else None

    def forward(self, batch: Any) -> Any:
        """Lists of ids -> the encoder's hidden states, which share its memory, or the head's logits."""
        import numpy as np

        types = {"token_type_ids": batch["token_type_ids"]} if "token_type_ids" in batch else {}
        output = self._encoder.forward_batch(batch["input_ids"], **types)
        return np.asarray(output.last_hidden_state) if self._classify is None else self._classify(output)
