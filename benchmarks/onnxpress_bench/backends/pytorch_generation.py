"""PyTorch for text-generation: the model's own forward with its cache of keys and values, a token at a time.

That is what transformers' `generate` does for greedy search, without what it checks around every token. In float32, or
in what the setting "dtype" names; eager.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.generation import Generation
from onnxpress_bench.backends.pytorch import PyTorch


class PyTorchGeneration(Generation):
    """AutoModelForCausalLM."""

    distributions: Sequence[str] = PyTorch.distributions
    _model: Any = None
    _tokenizer: Any = None

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        return PyTorch.prepare(spec)

    def load_libraries(self) -> None:
        import torch
        import transformers  # noqa: F401

        torch.set_num_threads(self.spec.threads)

    def load(self) -> None:
        import torch
        import transformers

        spec, trust = self.spec, self.spec.settings["trust_remote_code"]
        dtype = getattr(torch, spec.settings.get("dtype", "float32"))
        loader: Any = transformers.AutoModelForCausalLM
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(spec.folder, trust_remote_code=trust)
        self._model = loader.from_pretrained(spec.folder, dtype=dtype, trust_remote_code=trust).to(spec.device).eval()
        # The logits of the prompt's other tokens would be thrown away.
        known = inspect.signature(self._model.forward).parameters
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in known else {}

    def model_files(self) -> Sequence[Path]:
        return PyTorch(self.spec).model_files()

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        import torch

        ids, cache = torch.tensor([list(prompt)], device=self.spec.device), None
        for _ in range(new_tokens):
            with torch.inference_mode():  # not around the yield: it would hold for the caller as well
                output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, **self._last)
                ids, cache = output.logits[:, -1:].argmax(dim=-1), output.past_key_values
            yield int(ids)
