"""Which tokens of a window may answer, how probable each span of them is, and where it lies in the text.

The rules are those of transformers 4's question-answering pipeline: probabilities over the context and [CLS] only,
a span's score the product of its start and its end, at most so many tokens long. This module knows arrays and one
encoding, nothing of sessions or of how windows are combined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxpress.math import softmax, top_k
from onnxpress.text.tokenizer import Encoding


class Span(NamedTuple):
    """Tokens `start` to `end`, the last included, counted within the context's part of the window."""

    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Window:
    """The context's tokens `first` to `last` (not included) in one window, and what of them leads back to the text.

    `cls` is where [CLS] stands, None without one; `offsets` are characters of the context, `words` numbers of words,
    one entry for each token of the context.
    """

    first: int
    last: int
    cls: int | None
    offsets: tuple[tuple[int, int], ...]
    words: tuple[int | None, ...]

    @staticmethod
    def of(encoding: Encoding, *, context_side: int, cls: int | None) -> Window:
        """The window of an encoded pair whose context is its first (0) or second (1) text; `cls`: an id."""
        inside = np.array([side == context_side for side in encoding.sequence_ids], dtype=bool)
        positions = np.flatnonzero(inside)
        first, last = (int(positions[0]), int(positions[-1]) + 1) if positions.size else (0, 0)
        outside = [i for i, token in enumerate(encoding.ids) if token == cls and not inside[i]]
        return Window(
            first,
            last,
            outside[0] if outside else None,
            tuple(encoding.offsets[first:last]),
            tuple(encoding.word_ids[first:last]),
        )

    def characters(self, start: int, end: int, whole_words: bool) -> tuple[int, int]:
        """First character, and the one after the last, of tokens `start` to `end`, or of the words they are part of."""
        if whole_words:
            first_word, last_word = self.words[start], self.words[end]
            if first_word is not None and last_word is not None:
                start = self.words.index(first_word)
                end = len(self.words) - 1 - self.words[::-1].index(last_word)
        return self.offsets[start][0], self.offsets[end][1]


def probabilities(window: Window, logits: NDArray[Any]) -> NDArray[Any]:
    """float32 (sequence,) logits to probabilities of the same shape, over the context and [CLS], else 0."""
    allowed = np.zeros(logits.shape[0], dtype=bool)
    allowed[window.first : window.last] = True
    if window.cls is not None:
        allowed[window.cls] = True
    result = np.zeros_like(logits)
    if allowed.any():
        result[allowed] = softmax(logits[allowed])
    return result


def null_score(window: Window, start: NDArray[Any], end: NDArray[Any]) -> float:
    """How probable it is that the window has no answer: that start and end are both [CLS]."""
    return 0.0 if window.cls is None else float(start[window.cls] * end[window.cls])


def best_spans(window: Window, start: NDArray[Any], end: NDArray[Any], count: int, max_tokens: int) -> list[Span]:
    """The `count` most probable spans of at most `max_tokens` tokens, best first. start, end: (sequence,)."""
    size = window.last - window.first
    if size == 0:
        return []
    width = min(max_tokens, size)
    # Row s holds the ends s, s+1, ... s+width-1; those beyond the context get -1 and are dropped below.
    ends = np.concatenate([end[window.first : window.last], np.full(width - 1, -1, dtype=end.dtype)])
    scores = start[window.first : window.last, None] * np.lib.stride_tricks.sliding_window_view(ends, width)
    flat = scores.ravel()
    spans = [Span(float(flat[i]), int(i) // width, int(i) // width + int(i) % width) for i in top_k(flat, count)]
    return [span for span in spans if span.end < size]
