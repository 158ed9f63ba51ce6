"""How a text about a picture begins where a prompt is given: each kind of checkpoint has a way of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxpress.errors import InputError
from onnxpress.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Beginnings:
    """`replaces`: whether a prompt takes the place of the token that the decoder begins with, or follows it."""

    replaces: bool
    task: str

    @staticmethod
    def of(config: Mapping[str, Any], task: str) -> Beginnings:
        """By the checkpoint's config.json, as `generate` of transformers tells them apart."""
        encoder = config.get("encoder")
        return Beginnings(isinstance(encoder, Mapping) and "donut" in str(encoder.get("model_type")), task)

    def ids(self, prompt: str | None, tokenizer: Tokenizer, first: Sequence[int]) -> Sequence[int] | None:
        """What the decoder reads; None: what it always does.

        Raises:
            InputError: the prompt has no token.
        """
        if prompt is None:
            return None
        words = tokenizer.encode(prompt, special_tokens=False).ids
        tokenizer.check_ids(words)
        if not words:
            raise InputError(f"{self.task}: the prompt {prompt!r:.60} has no token. Leave it out.")
        if self.replaces or words[: len(first)] == list(first):
            return words
        return [*first, *words]
