"""onnxruntime-genai on the graph of its own model builder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.base import Runner


class GenAI(Runner):
    """`settings`: precision, as the builder names it."""

    distributions = ("onnxruntime-genai",)
    libraries = ("onnxruntime_genai",)
    converters = ("onnxruntime-genai", "transformers")
    files = ("*.onnx*",)
    _library: Any = None

    @staticmethod
    def convert(spec: BackendSpec, target: Path) -> None:
        """The builder's command, as its documentation gives it."""
        from onnxpress_bench.process import run_python

        options = ("-p", spec.settings["precision"], "-e", "cpu", "-c", gettempdir())
        run_python("-m", "onnxruntime_genai.models.builder", "-i", spec.folder, "-o", str(target), *options)
        file = target / "genai_config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        config["model"]["eos_token_id"] = []  # one would end it, and the rest would be padding that costs nothing
        file.write_text(json.dumps(config, indent=1), encoding="utf-8")

    def load(self) -> None:
        """The model and its tokenizer."""
        import onnxruntime_genai as og

        config = og.Config(str(self.folder))
        options = {"intra_op_num_threads": self.spec.threads, "inter_op_num_threads": 1}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        self._library, self._model = og, og.Model(config)
        self.tokenizer = og.Tokenizer(self._model)
        self.tokenizer.update_options(add_special_tokens="false")

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        return [int(token) for token in self.tokenizer.encode(text)]

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        """Greedily; its end-of-text tokens were taken away."""
        og = self._library
        parameters = og.GeneratorParams(self._model)
        parameters.set_search_options(max_length=len(prompt) + new_tokens, do_sample=False)
        generator = og.Generator(self._model, parameters)
        generator.append_tokens(prompt)
        for _ in range(new_tokens):
            generator.generate_next_token()
            yield int(generator.get_next_tokens()[0])
