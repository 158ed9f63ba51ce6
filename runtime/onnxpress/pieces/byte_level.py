"""Bytes as tokens (ByT5): the id of a byte is its value plus 3. Knows no vocabulary but that."""

from __future__ import annotations

from collections.abc import Collection, Sequence

#: Ids below belong to padding, the end of a text, and the unknown token.
OFFSET = 3


class Bytes:
    """Names are single characters, U+0000 to U+00FF, one for each byte; special tokens have longer ones."""

    def segment(self, text: str) -> list[int]:
        """The ids of a text without special tokens."""
        return [byte + OFFSET for byte in text.encode()]

    def join(self, names: Sequence[str], special: Collection[str]) -> str:
        """The text of tokens; bytes that are not UTF-8 are left out."""
        return b"".join(name.encode() if name in special else name.encode("latin-1") for name in names).decode(
            errors="ignore"
        )
