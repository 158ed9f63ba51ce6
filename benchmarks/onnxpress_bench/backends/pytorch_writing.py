"""PyTorch for models that write, in float32 or in the setting "dtype"; eager."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.pytorch_checkpoint import load, prepare, without_gradients


class PyTorchWriting(Runner):
    """Decoders by the model's own forward with its cache of keys and values, a token at a time: what transformers'
    `generate` does for greedy search, without what it checks around every token. All others by `generate`."""

    distributions = libraries = ("transformers", "torch")
    prepare = staticmethod(prepare)
    _model: Any = None

    def load(self) -> None:
        """Tokenizer and model."""
        self.tokenizer, self._model = load(self.spec)
        self._write = without_gradients(self._model.generate)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        """Greedily; an end-of-text token does not end it."""
        import torch

        # The logits of the prompt's other tokens would be thrown away.
        known = "logits_to_keep" in inspect.signature(self._model.forward).parameters
        options = {"logits_to_keep": 1} if known else {}
        ids, cache = torch.tensor([list(prompt)], device=self.spec.device), None
        for _ in range(new_tokens):
            with torch.inference_mode():  # not around the yield: it would hold for the caller as well
                output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, **options)
                ids, cache = output.logits[:, -1:].argmax(dim=-1), output.past_key_values
            yield int(ids)

    def rewrite(self, texts: Sequence[str], beams: int, new_tokens: int) -> list[list[int]]:
        """As one batch."""
        batch = self.tokenizer(list(texts), return_tensors="pt", padding=True).to(self.spec.device)
        options = {"num_beams": beams, "do_sample": False, "forced_eos_token_id": None}
        ids = self._write(**batch, min_new_tokens=new_tokens, max_new_tokens=new_tokens, **options)
        return [row[1 : 1 + new_tokens] for row in ids.tolist()]  # without the token that decoding starts with
