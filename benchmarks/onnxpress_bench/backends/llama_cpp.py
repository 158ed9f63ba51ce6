"""llama.cpp through llama-cpp-python, on a GGUF file that its own converter and quantizer make of the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.base import Runner

_FILE = "model.gguf"


class LlamaCpp(Runner):
    """`settings`: quantization. The cache of keys and values is float16, llama.cpp's default."""

    distributions = ("llama-cpp-python",)
    libraries = ("llama_cpp",)
    converters = ("llama-cpp-python", "transformers")
    files = (_FILE,)
    _llama: Any = None

    @staticmethod
    def convert(spec: BackendSpec, target: Path) -> None:
        """By its own tools; the tokenizer is compared with the checkpoint's."""
        from onnxpress_bench.backends.gguf import check_tokenizer, write_gguf

        write_gguf(spec, target / _FILE, spec.settings["quantization"])
        check_tokenizer(spec, target / _FILE)

    def load(self) -> None:
        """With room for the longest prompt and what follows it."""
        from llama_cpp import Llama

        threads = {"n_threads": self.spec.threads, "n_threads_batch": self.spec.threads}
        room = self.spec.settings["context_tokens"]
        self._llama = Llama(str(self.folder / _FILE), n_ctx=room, verbose=False, **threads)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        ids: list[int] = self._llama.tokenize(text.encode(), add_bos=False, special=False)
        return ids

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        """Greedily."""
        # What it knows of an earlier call with the same prompt would spare it the prompt.
        self._llama.reset()
        return islice(self._llama.generate(prompt, temp=0.0), new_tokens)
