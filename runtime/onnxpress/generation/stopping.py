"""Stop strings, exact across the borders of tokens: text comes in pieces, and goes out when it cannot be part of one.

Works on text alone: which tokens make it, a detokenizer knows.
"""

from __future__ import annotations

from collections.abc import Sequence


class StopText:
    """One text that grows; `found` is the stop string that ended it, None while there was none.

    Of several, the one that is complete first ends the text, and the longest of those that are complete there: however
    the text is cut into pieces, what goes out is the same.
    """

    __slots__ = ("_held", "_strings", "found")

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = [string for string in strings if string]
        self._held = ""
        self.found: str | None = None

    def push(self, piece: str) -> str:
        """What is certain to stand before any stop string, of all so far and not yet handed out."""
        if self.found is not None:
            return ""
        self._held += piece
        places = [(self._held.find(string), string) for string in self._strings]
        hits = [(place + len(string), place, string) for place, string in places if place >= 0]
        if hits:
            _, place, self.found = min(hits)
            text, self._held = self._held[:place], ""
            return text
        keep = max((_overlap(self._held, string) for string in self._strings), default=0)
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return text

    def flush(self) -> str:
        """What was held back, when no more text comes."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, string: str) -> int:
    """How many characters at the end of `text` begin `string`."""
    for size in range(min(len(text), len(string) - 1), 0, -1):
        if text.endswith(string[:size]):
            return size
    return 0
