"""What backends for text-generation share: the items of the task, on top of what each of them writes.

An item is {"prompt": text, "new_tokens": n}, its answer {"ids": [...]}. Nothing of any one library is known here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec, Batching


class Generation(ABC):
    """One prompt at a time, greedily.

    `settings` of the spec: context_tokens, the most that a prompt and its continuation have together.
    """

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
    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""

    @abstractmethod
    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        """Exactly `new_tokens` ids, each as soon as it is known."""

    def one(self, item: Any) -> Any:
        return {"ids": list(self.generate(self.encode(item["prompt"]), item["new_tokens"]))}

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        return [self.one(item) for item in items]
