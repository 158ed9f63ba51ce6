"""Text of a growing row of ids, piece by piece: joined, the pieces are exactly what decoding the whole row gives.

A decoder may rewrite the end of its text when the next id comes: bytes become a character, a space before a full stop
goes. What may change is held back. Only a window of the row is decoded at each step; it is moved where the text after
its new beginning is the same without what stood before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence

# A window longer than this is shortened, if it can be; one that cannot is tried again at twice the length.
_WINDOW_TOKENS = 48

# Text that has to agree before a window is moved, in characters: more than a decoder looks back.
_CERTAIN = 8

# The longest pattern of `clean_up` in characters. Each begins with a space.
_LONGEST_CLEAN_UP = 4

# An incomplete character, spaces that may be stripped, the mark of an unfinished word.
_UNSETTLED = re.compile(r"(?:\ufffd|\s|@@)*\Z")

_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>\Z")


class StreamDecoder:
    """`decode`: ids -> text, to which `clean_up` is applied, if there is one. `token`: id -> token. `skipped`: ids that
    have no text. One row each; not thread-safe."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        token: Callable[[int], str],
        *,
        skipped: Container[int] = (),
        clean_up: Callable[[str], str] | None = None,
    ) -> None:
        self._decode, self._token, self._skipped, self._clean_up = decode, token, skipped, clean_up
        self._ids: list[int] = []  # of the window
        self._emitted = 0  # characters of the window's text that are out
        self._patience = _WINDOW_TOKENS

    def step(self, token_id: int) -> str | None:
        """The text that is certain with one id more; None if there is none yet."""
        if token_id in self._skipped:
            return None
        self._ids.append(token_id)
        text = self._decode(self._ids)
        settled = self._clean(text[: self._settled(text)])
        piece = settled[self._emitted :]
        self._emitted = max(self._emitted, len(settled))
        if len(self._ids) > self._patience:
            self._shorten(self._clean(text))
        return piece or None

    def flush(self) -> str:
        """The rest of the text: no id follows. The decoder begins anew."""
        rest = self._clean(self._decode(self._ids))[self._emitted :]
        self._ids, self._emitted, self._patience = [], 0, _WINDOW_TOKENS
        return rest

    def _clean(self, text: str) -> str:
        return text if self._clean_up is None else self._clean_up(text)

    def _settled(self, text: str) -> int:
        """How many characters no further id can change."""
        end = len(text)
        if _BYTE.match(self._token(self._ids[-1])):  # a run of bytes is decoded as one: all of it may change
            start = len(self._ids)
            while start and _BYTE.match(self._token(self._ids[start - 1])):
                start -= 1
            end = min(end, len(self._decode(self._ids[:start])))
        if unsettled := _UNSETTLED.search(text, 0, end):
            end = unsettled.start()
        # A pattern that reaches over the end begins with a space before it. That holds after earlier patterns, too:
        # what they take away is spaces.
        while self._clean_up is not None and (space := text.rfind(" ", max(0, end - _LONGEST_CLEAN_UP + 1), end)) >= 0:
            end = space
        return end

    def _shorten(self, text: str) -> None:
        """Move the beginning of the window to where its text goes on the same, if there is such a place."""
        for start in range(len(self._ids) // 2, len(self._ids) // 2 + 8):
            rest = self._clean(self._decode(self._ids[start:]))
            skipped = len(text) - len(rest)
            same = text.endswith(rest) and not rest.startswith("\ufffd") and len(rest) > _CERTAIN
            if same and skipped <= self._emitted:
                self._ids, self._emitted, self._patience = self._ids[start:], self._emitted - skipped, _WINDOW_TOKENS
                return
        self._patience *= 2
