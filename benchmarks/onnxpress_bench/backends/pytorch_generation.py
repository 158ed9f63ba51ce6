"""PyTorch for text-generation: the model's own forward with its cache of keys and values, a token at a time.

That is what transformers' `generate` does for greedy search, without what it checks around every token. In float32, or
in what the setting "dtype" names; eager.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.pytorch_checkpoint import load, prepare, weight_files


class PyTorchGeneration(Runner):
    """AutoModelForCausalLM."""

    distributions = libraries = ("transformers", "torch")
    _model: Any = None

    prepare = staticmethod(prepare)

    def load(self) -> None:
        """The tokenizer and the model."""
        self.tokenizer, self._model = load(self.spec, "AutoModelForCausalLM")
        # The logits of the prompt's other tokens would be thrown away.
        known = inspect.signature(self._model.forward).parameters
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in known else {}

    def model_files(self) -> Sequence[Path]:
        """The weights."""
        return weight_files(self.folder)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        """Greedily; an end-of-text token does not end it."""
        import torch

        ids, cache = torch.tensor([list(prompt)], device=self.spec.device), None
        for _ in range(new_tokens):
            with torch.inference_mode():  # not around the yield: it would hold for the caller as well
                output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, **self._last)
                ids, cache = output.logits[:, -1:].argmax(dim=-1), output.past_key_values
            yield int(ids)
