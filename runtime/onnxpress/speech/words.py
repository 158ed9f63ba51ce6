"""Tokens joined to words, as OpenAI and transformers join them: by spaces, or character by character. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

_PREPENDED = "\"'“¡¿([{-"
_APPENDED = "\"'.。,，!！?？:：”)]}、"
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

#: What a decoder writes for bytes that are no whole character.
_UNKNOWN = "\ufffd"


@dataclass(frozen=True, slots=True)
class Word:
    """`first`, `last`: the places of its tokens."""

    text: str
    first: int
    last: int


def words_of(ids: Sequence[int], decode: Callable[[Sequence[int]], str], *, spaces: bool) -> list[Word]:
    """The words of a text, with the punctuation that belongs to them. `spaces`: whether the language has them."""
    parts = _characters(ids, decode)
    if spaces:
        parts = _by_spaces(parts)
    return _with_punctuation(parts)


def _characters(ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> list[Word]:
    """The shortest runs of tokens that are whole characters."""
    whole, parts, first, offset = decode(ids), [], 0, 0
    for last in range(len(ids)):
        text = decode(ids[first : last + 1])
        if _UNKNOWN in text:
            place = offset + text.index(_UNKNOWN)
            if place < len(whole) and whole[place] != _UNKNOWN:
                continue
        parts.append(Word(text, first, last))
        offset += len(text)
        first = last + 1
    return parts


def _by_spaces(parts: Sequence[Word]) -> list[Word]:
    words: list[Word] = []
    for part in parts:
        if part.text.startswith(" ") or part.text.strip() in _PUNCTUATION or not words:
            words.append(part)
        else:
            words[-1] = _joined(words[-1], part)
    return words


def _joined(first: Word, second: Word) -> Word:
    return Word(first.text + second.text, first.first, second.last)


def _with_punctuation(words: Sequence[Word]) -> list[Word]:
    """Punctuation that opens goes to the word after it, other punctuation to the one before."""
    opened: list[Word] = []
    for word in reversed(words):
        if opened and word.text.startswith(" ") and word.text.strip() in _PREPENDED:
            opened[-1] = _joined(word, opened[-1])
        else:
            opened.append(word)
    closed: list[Word] = []
    for word in reversed(opened):
        if closed and not closed[-1].text.endswith(" ") and word.text in _APPENDED:
            closed[-1] = _joined(closed[-1], word)
        else:
            closed.append(word)
    return [word for word in closed if word.text]
