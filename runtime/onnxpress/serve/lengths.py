"""Texts beyond a model's limit: refused with their counts, or cut because the request says so, and then reported.

Some tasks cut texts as their libraries do. A server that did so without a word would give wrong vectors for years.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.sentence_similarity import SentenceSimilarity
from onnxpress.serve.errors import TooLarge
from onnxpress.serve.versions import AnyPipeline


@dataclass(frozen=True, slots=True)
class Shortened:
    """A text that was cut: its place among the samples of its input, its tokens, and those that are left."""

    input: int
    part: int
    tokens: int
    left: int


def check_lengths(
    pipe: AnyPipeline,
    inputs: Sequence[Any],
    requests: Sequence[Prepared[Any]],
    options: Any,
    *,
    truncate: bool,
) -> list[Shortened]:
    """The texts that preparing has cut.

    Raises:
        TooLarge: there is one, and the request does not say that texts are to be cut.
    """
    limit = pipe.limit_of(options) if isinstance(pipe, SentenceSimilarity) else getattr(pipe, "max_seq_length", None)
    if limit is None:
        return []
    limit = min(limit, getattr(options, "max_length", None) or limit)
    cut = []
    for index, (item, request) in enumerate(zip(inputs, requests, strict=True)):
        for part, sample in enumerate(request.samples):
            if sample.cost < limit:
                continue
            tokens = _whole(pipe, item, part, options)
            if tokens > sample.cost:
                cut.append(Shortened(index, part, tokens, sample.cost))
    if cut and not truncate and getattr(options, "max_length", None) is None:
        first = cut[0]
        where = f"inputs[{first.input}] has" if len(inputs) > 1 else "The input has"
        raise TooLarge(
            f"{where} {first.tokens} tokens, and the model reads {first.left}"
            + (f" (and {len(cut) - 1} others are too long)" if len(cut) > 1 else "")
            + '. Send less, or ask for it to be cut: "truncate": true.',
            code="context_length_exceeded",
        )
    return cut


def _whole(pipe: AnyPipeline, item: Any, part: int, options: Any) -> int:
    """The tokens of an input that is not cut, prompt and special tokens included."""
    tokenizer = pipe.processor.tokenizer
    if isinstance(item, Mapping) and "documents" in item:
        return len(tokenizer.encode(item["query"], item["documents"][part]).ids)
    text = [item["source_sentence"], *item["sentences"]][part] if isinstance(item, Mapping) else item
    if isinstance(pipe, SentenceSimilarity):
        return pipe.length_of(text, options)
    prompt = getattr(pipe, "_prompt", lambda _: "")(options)
    return len(tokenizer.encode(f"{prompt}{text}").ids)
