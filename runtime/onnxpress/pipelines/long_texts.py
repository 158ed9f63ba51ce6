"""A long text in pieces that a model can take, cut where sentences end, else between words. Knows no tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from onnxpress.errors import InputError

#: Behind a sentence's mark: what closes a quotation, and spaces, which not every script has; or the end of a line.
_SENTENCE = re.compile(r"""(?<=[.!?…])["'”’»)\]]*\s+|(?<=[。！？｡])["'”’」』）]*\s*|\s*\n\s*""")
_WORD = re.compile(r"\s+")


def pieces(text: str, fits: Callable[[str], bool]) -> list[tuple[str, str]]:
    """The text as pieces that fit, each with the space that stands behind it.

    Raises:
        InputError: a single word does not fit.
    """
    parts = [(text[start:end], text[end:after]) for start, end, after in _cut(text, fits)]
    return parts or [(text, "")]


def _cut(text: str, fits: Callable[[str], bool]) -> Iterator[tuple[int, int, int]]:
    """Where each piece begins and ends, and where the next one begins."""
    start = 0
    while start < len(text):
        for border in (_SENTENCE, _WORD):
            end, after = _longest(text, start, border, fits)
            if end > start:
                break
        else:
            raise InputError(
                f"A word of the text is longer than what the model takes at once: {text[start : start + 40]!r}."
            )
        yield start, end, after
        start = after


def _longest(text: str, start: int, border: re.Pattern[str], fits: Callable[[str], bool]) -> tuple[int, int]:
    """The end of the longest piece from `start` that fits, and where the space behind it ends; (start, start): none."""
    ends = [_without_space(match, start) for match in border.finditer(text, start) if match.end() > start]
    ends = [(end, after) for end, after in ends if text[start:end].strip()]
    ends.append((len(text), len(text)))
    low, high = 0, len(ends)  # pieces up to ends[low - 1] fit; longer texts never have fewer tokens to speak of
    while low < high:
        middle = (low + high) // 2
        if fits(text[start : ends[middle][0]]):
            low = middle + 1
        else:
            high = middle
    return ends[low - 1] if low else (start, start)


def _without_space(match: re.Match[str], start: int) -> tuple[int, int]:
    """A quotation's mark stays with its sentence, the spaces behind it do not."""
    space = match.group().lstrip("\"'”’»)]」』）")
    return match.end() - len(space), match.end()
