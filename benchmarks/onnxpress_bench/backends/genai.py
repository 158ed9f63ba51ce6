"""onnxruntime-genai on the graph of its own model builder (genai_conversion.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.conversion import converted


class GenAI(Runner):
    """`settings`: precision, as the builder names it."""

    distributions = ("onnxruntime-genai",)
    libraries = ("onnxruntime_genai",)
    files = ("*.onnx*",)
    _model: Any = None

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        """Build."""
        from onnxpress_bench.backends.genai_conversion import build

        return converted(spec, ("onnxruntime-genai", "transformers"), lambda target: build(spec, target))

    def load(self) -> None:
        """The model and its tokenizer."""
        import onnxruntime_genai as og

        config = og.Config(str(self.folder))
        options = {"intra_op_num_threads": self.spec.threads, "inter_op_num_threads": 1}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        self._model = og.Model(config)
        self.tokenizer = og.Tokenizer(self._model)
        self.tokenizer.update_options(add_special_tokens="false")

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        ids: list[int] = self.tokenizer.encode(text).tolist()
        return ids

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        """Greedily; its end-of-text tokens were taken away."""
        import onnxruntime_genai as og

        parameters = og.GeneratorParams(self._model)
        parameters.set_search_options(max_length=len(prompt) + new_tokens, do_sample=False)
        generator = og.Generator(self._model, parameters)
        generator.append_tokens(prompt)
        for _ in range(new_tokens):
            generator.generate_next_token()
            yield int(generator.get_next_tokens()[0])
