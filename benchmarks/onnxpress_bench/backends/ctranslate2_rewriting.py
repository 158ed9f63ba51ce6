"""CTranslate2's translator, converted from PyTorch by its own converter, in float32 or int8.

It takes tokens as strings, as its documentation shows; the checkpoint's tokenizer makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.ctranslate2_conversion import convert, open_model


class CTranslate2Rewriting(Runner):
    """`settings`: quantization, "float32" without."""

    distributions = ("ctranslate2", "transformers", "sentencepiece")
    libraries = ("ctranslate2", "transformers")
    converters = ("ctranslate2", "torch", "transformers")
    convert = staticmethod(convert)
    _translator: Any = None

    def load(self) -> None:
        """The checkpoint's tokenizer and the translator."""
        import transformers

        self.tokenizer = transformers.AutoTokenizer.from_pretrained(self.spec.folder)
        self._translator = open_model(self.spec, "Translator")

    def rewrite(self, texts: Sequence[str], beams: int, new_tokens: int) -> list[list[int]]:
        """As a batch."""
        tokenizer = self.tokenizer
        sources = [tokenizer.convert_ids_to_tokens(ids) for ids in tokenizer(list(texts))["input_ids"]]
        length = {"min_decoding_length": new_tokens, "max_decoding_length": new_tokens}
        results = self._translator.translate_batch(sources, beam_size=beams, **length)
        return [tokenizer.convert_tokens_to_ids(result.hypotheses[0]) for result in results]
