"""The best segmentation of a text under a unigram model, with sentencepiece's own rounding.

The Rust library adds scores in double precision, sentencepiece in single. Where two segmentations are equally good
("111" as 1+11 or 11+1) rounding decides, so only the same rounding gives the same tokens.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

# Added by sentencepiece to the lowest score of the model for a character that no piece covers (unigram_model.cc).
_UNKNOWN_PENALTY = 10.0

_SINGLE = struct.Struct("f")


class Unigram:
    """Pieces with their log probabilities (float32 values). `segment` is a pure function of the text."""

    def __init__(self, scores: Mapping[str, float]) -> None:
        self._scores = scores
        self._unknown = _single(min(scores.values(), default=0.0) - _UNKNOWN_PENALTY)
        lengths: dict[str, set[int]] = {}
        for piece in scores:
            if len(piece) > 1:
                lengths.setdefault(piece[:2], set()).add(len(piece))
        #: first two characters -> lengths of the pieces that begin with them
        self._lengths = {start: tuple(sorted(sizes)) for start, sizes in lengths.items()}

    def segment(self, text: str) -> list[str]:
        """Cut the text into pieces; a run of characters that no piece covers is one item of the list."""
        starts = self._best_starts(text)
        pieces: list[str] = []
        end, unknown_before = len(text), False
        while end > 0:
            piece = text[starts[end] : end]
            unknown = piece not in self._scores
            if unknown and unknown_before:
                pieces[-1] = piece + pieces[-1]
            else:
                pieces.append(piece)
            end, unknown_before = starts[end], unknown
        return pieces[::-1]

    def _best_starts(self, text: str) -> list[int]:
        """For each position the start of the last piece of the best way there (Viterbi)."""
        scores, lengths, size = self._scores.get, self._lengths.get, len(text)
        best, starts = [0.0] * (size + 1), [-1] * (size + 1)
        for start in range(size):
            here = best[start]
            total = _single(scores(text[start], self._unknown) + here)
            if starts[start + 1] < 0 or total > best[start + 1]:
                best[start + 1], starts[start + 1] = total, start
            for length in lengths(text[start : start + 2], ()):
                end = start + length
                if end > size:
                    break
                score = scores(text[start:end])
                if score is None:
                    continue
                total = _single(score + here)
                if starts[end] < 0 or total > best[end]:
                    best[end], starts[end] = total, start
        return starts


def _single(value: float) -> float:
    """The nearest float32."""
    return float(_SINGLE.unpack(_SINGLE.pack(value))[0])
