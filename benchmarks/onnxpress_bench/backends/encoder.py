"""What backends share that run one encoder themselves: tokens to arrays, and what the model returns to answers.

The tokenizer is the artifact's, in the library `tokenizers`; all else is numpy. A subclass loads its model and writes
`forward`. Three tasks are known: feature-extraction, sentence-similarity (without a head after the pooling) and
text-classification. Nothing of any one library is known here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_bench.backends import BackendSpec, Batching, in_batches, pair_of, text_of
from onnxpress_bench.backends.conversion import check_servable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]


class Encoder(ABC):
    """`settings` of the spec: tokenizer_file, max_length, input_names, embedding, labels, function_to_apply, ..."""

    #: For throughput the pilot takes the fastest of these.
    batchings: Sequence[Batching] = (Batching(1), Batching(8), Batching(8, sort=True), Batching(32, sort=True))
    distributions: Sequence[str] = ()

    def __init__(self, spec: BackendSpec) -> None:
        self.spec = spec
        self._tokenizer: Any = None

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        check_servable(spec)
        return spec

    # What a subclass writes.

    @abstractmethod
    def load_libraries(self) -> None:
        """Import numpy, tokenizers and the library."""

    @abstractmethod
    def load_model(self) -> None:
        """Load the model; the tokenizer is loaded by `load`."""

    @abstractmethod
    def model_files(self) -> Sequence[Path]:
        """The files of the model."""

    @abstractmethod
    def forward(self, arrays: Arrays) -> NDArray[Any]:
        """int64 arrays (batch, sequence) by name -> float32 (batch, sequence, hidden), or (batch, labels)."""

    # What all share.

    def load(self) -> None:
        from tokenizers import Tokenizer

        settings = self.spec.settings
        tokenizer: Any = Tokenizer.from_file(settings["tokenizer_file"])
        limits = [settings["max_length"], (settings["embedding"] or {}).get("max_length")]
        limit = min((n for n in limits if n), default=None)
        if limit:
            tokenizer.enable_truncation(limit)
        tokenizer.enable_padding(
            pad_id=settings["pad_token_id"],
            pad_type_id=settings["pad_token_type_id"],
            direction=settings["padding_side"],
        )
        self._tokenizer = tokenizer
        self.load_model()

    def one(self, item: Any) -> Any:
        batch = self.tokenize([item])
        return self.finish(self.forward(batch), batch)[0]

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        answers: list[Any] = [None] * len(items)
        for indices in in_batches(items, batching):
            batch = self.tokenize([items[index] for index in indices])
            for index, answer in zip(indices, self.finish(self.forward(batch), batch), strict=True):
                answers[index] = answer
        return answers

    def tokenize(self, items: Sequence[Any]) -> Arrays:
        import numpy as np

        given = [text_of(item) if pair_of(item) is None else (text_of(item), pair_of(item)) for item in items]
        found = self._tokenizer.encode_batch(given)
        columns = {
            "input_ids": [one.ids for one in found],
            "attention_mask": [one.attention_mask for one in found],
            "token_type_ids": [one.type_ids for one in found],
        }
        return {name: np.array(columns[name], dtype=np.int64) for name in self.spec.settings["input_names"]}

    def compute(self, batch: Arrays) -> Any:
        return self.forward(batch)

    def finish(self, output: NDArray[Any], arrays: Arrays) -> Sequence[Any]:
        """The answers, in the schema of the task's pipeline."""
        mask = arrays["attention_mask"]
        if self.spec.task == "sentence-similarity":
            return self._vectors(output, mask)
        if self.spec.task == "text-classification":
            return self._labels(output)
        return [row[None, kept.astype(bool)] for row, kept in zip(output, mask, strict=True)]

    def _vectors(self, hidden: NDArray[Any], mask: NDArray[Any]) -> Sequence[Any]:
        import numpy as np

        settings = self.spec.settings["embedding"]
        if settings["pooling"] == ["cls"]:
            vectors = hidden[np.arange(len(hidden)), mask.argmax(axis=1)]
        else:
            weights = mask[:, None, :].astype(hidden.dtype)
            vectors = (weights @ hidden)[:, 0] / weights.sum(axis=2)
        vectors = vectors[:, : settings["truncate_dimensions"] or vectors.shape[1]]
        if settings["normalize"]:
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return list(vectors)

    def _labels(self, logits: NDArray[Any]) -> Sequence[Any]:
        """All labels, best first, as `top_k=None` gives them."""
        import numpy as np

        apply = self.spec.settings["function_to_apply"]
        if apply == "softmax":
            exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
            logits = exponents / exponents.sum(axis=1, keepdims=True)
        elif apply == "sigmoid":
            logits = 1 / (1 + np.exp(-logits))
        labels = self.spec.settings["labels"]
        return [
            sorted(
                ({"label": label, "score": float(score)} for label, score in zip(labels, row, strict=True)),
                key=lambda entry: -float(entry["score"]),
            )
            for row in logits
        ]
