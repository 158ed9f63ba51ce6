"""From texts to arrays and from an encoder's output to answers, for backends that run the model alone.

The tokenizer is the artifact's, in the library `tokenizers`; all else is numpy. Three tasks are known:
feature-extraction, sentence-similarity (without a head after the pooling) and text-classification. A backend loads
`tokenizer` by `load_tokenizer` and has `forward`; one whose `pads` is False is given lists of ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnxpress_bench.backends import BackendSpec, Encodes, pair_of, text_of
from onnxpress_bench.workloads import PICTURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]


def load_reader(spec: BackendSpec) -> Any:
    """What reads a task's inputs: a tokenizer, or an image processor."""
    if spec.task not in PICTURES:
        return load_tokenizer(spec)
    from onnxpress_bench.workloads.pictures import load_processor

    return load_processor(spec)


def load_tokenizer(spec: BackendSpec, *, pads: bool = True) -> Any:
    """The artifact's tokenizer, cutting as the model needs it; `settings` of the spec say how it pads."""
    from tokenizers import Tokenizer

    settings = spec.settings
    tokenizer: Any = Tokenizer.from_file(settings["tokenizer_file"])
    limits = [settings["max_length"], (settings["embedding"] or {}).get("max_length")]
    limit = min((n for n in limits if n), default=None)
    if limit:
        tokenizer.enable_truncation(limit)
    if pads:
        tokenizer.enable_padding(
            pad_id=settings["pad_token_id"],
            pad_type_id=settings["pad_token_type_id"],
            direction=settings["padding_side"],
        )
    else:
        tokenizer.no_padding()
    return tokenizer


def answer(backend: Encodes, items: Sequence[Any]) -> Sequence[Any]:
    """The answers to the items of one batch, in the schema of the task's pipeline."""
    batch = tokenize(backend, items)
    return _finish(backend.spec, backend.forward(batch), _mask(batch))


def tokenize(backend: Encodes, items: Sequence[Any]) -> Any:
    """Items that are one batch -> what the model takes: int64 arrays (batch, sequence) by name, or lists of ids."""
    texts = [text_of(item) if pair_of(item) is None else (text_of(item), pair_of(item)) for item in items]
    columns = columns_of(backend.tokenizer.encode_batch(texts), backend.spec)
    if not backend.pads:
        return columns
    import numpy as np

    return {name: np.array(column, dtype=np.int64) for name, column in columns.items()}


def columns_of(encodings: Sequence[Any], spec: BackendSpec) -> dict[str, list[list[int]]]:
    """What the model takes of encoded texts: a list for each text, by the input's name."""
    fields = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    return {name: [getattr(encoding, fields[name]) for encoding in encodings] for name in spec.settings["input_names"]}


def _mask(batch: Mapping[str, Any]) -> NDArray[Any]:
    """int64 (batch, sequence): 1 where a token is."""
    import numpy as np

    if not isinstance(batch["input_ids"], list):
        mask: NDArray[Any] = batch["attention_mask"]
        return mask
    lengths = np.array([len(ids) for ids in batch["input_ids"]])
    return (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)


def _finish(spec: BackendSpec, output: NDArray[Any], mask: NDArray[Any]) -> Sequence[Any]:
    if spec.task == "sentence-similarity":
        return _vectors(spec.settings["embedding"], output, mask)
    if spec.task == "text-classification":
        return label_scores(spec, output)
    return [row[None, tokens.astype(bool)] for row, tokens in zip(output, mask, strict=True)]


def _vectors(settings: Mapping[str, Any], hidden: NDArray[Any], mask: NDArray[Any]) -> Sequence[Any]:
    """float32 (batch, sequence, hidden) -> a vector for each text."""
    import numpy as np

    if settings["pooling"] == ["cls"]:
        vectors = hidden[np.arange(len(hidden)), mask.argmax(axis=1)]
    else:
        weights = mask[:, None, :].astype(hidden.dtype)
        vectors = (weights @ hidden)[:, 0] / weights.sum(axis=2)
    vectors = vectors[:, : settings["truncate_dimensions"] or vectors.shape[1]]
    if settings["normalize"]:
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return list(vectors)


def label_scores(spec: BackendSpec, logits: NDArray[Any]) -> Sequence[Any]:
    """float32 (batch, labels) -> all labels, best first, as `top_k=None` gives them."""
    import numpy as np

    function = spec.settings["function_to_apply"]
    if function == "softmax":
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        logits = exponents / exponents.sum(axis=1, keepdims=True)
    elif function == "sigmoid":
        logits = 1 / (1 + np.exp(-logits))
    labels = spec.settings["labels"]
    return [
        sorted(
            ({"label": label, "score": float(score)} for label, score in zip(labels, row, strict=True)),
            key=lambda entry: -float(entry["score"]),
        )
        for row in logits
    ]
