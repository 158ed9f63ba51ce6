"""llama.cpp through llama-cpp-python, on a GGUF file that its own converter and quantizer make of the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.conversion import conversion
from onnxpress_bench.backends.generation import Generation

_FILE = "model.gguf"


class LlamaCpp(Generation):
    """`settings`: quantization, and converted, the conversion's folder, which `prepare` sets.

    The cache of keys and values is float16, llama.cpp's default.
    """

    distributions: Sequence[str] = ("llama-cpp-python",)
    _llama: Any = None

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        from onnxpress_bench.backends.gguf import check_tokenizer, write_gguf

        quantization = spec.settings["quantization"]

        def write(target: Path) -> None:
            write_gguf(spec, target / _FILE, quantization)
            check_tokenizer(spec, target / _FILE)

        folder = conversion(spec, ("llama-cpp-python", "transformers"), write)
        return replace(spec, settings={**spec.settings, "converted": str(folder)})

    def load_libraries(self) -> None:
        import llama_cpp  # noqa: F401

    def load(self) -> None:
        from llama_cpp import Llama

        spec = self.spec
        self._llama = Llama(
            str(self.model_files()[0]),
            n_ctx=spec.settings["context_tokens"],
            n_threads=spec.threads,
            n_threads_batch=spec.threads,
            verbose=False,
        )

    def model_files(self) -> Sequence[Path]:
        return [Path(self.spec.settings["converted"], _FILE)]

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._llama.tokenize(text.encode(), add_bos=False, special=False)
        return ids

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        # What it knows of an earlier call with the same prompt would spare it the prompt.
        self._llama.reset()
        return islice(self._llama.generate(prompt, temp=0.0), new_tokens)
