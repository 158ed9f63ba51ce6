"""What backends for translation and other encoder-decoders share: the items, on top of what each of them writes.

An item is {"texts": [...], "beams": k, "new_tokens": n}: so many texts at once, exactly so many tokens for each, by
beam search, or greedily with one beam. Its answer is {"ids": [[...], ...]}. Nothing of any one library is known here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec, Batching


class Translation(ABC):
    """Batches of texts, as they are handed over."""

    batchings: Sequence[Batching] = (Batching(1),)
    distributions: Sequence[str] = ()

    def __init__(self, spec: BackendSpec) -> None:
        self.spec = spec

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        return spec

    @abstractmethod
    def load_libraries(self) -> None:
        """Import what is needed."""

    @abstractmethod
    def load(self) -> None:
        """Load the model and the tokenizer."""

    @abstractmethod
    def model_files(self) -> Sequence[Path]:
        """The files of the model."""

    @abstractmethod
    def translate(self, texts: Sequence[str], beams: int, new_tokens: int) -> list[list[int]]:
        """For each text exactly `new_tokens` ids of the best hypothesis; an end-of-text token does not come."""

    def one(self, item: Any) -> Any:
        return {"ids": self.translate(item["texts"], item["beams"], item["new_tokens"])}

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        return [self.one(item) for item in items]
