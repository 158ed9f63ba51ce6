"""Bytes as tokens (ByT5): the id of a byte is its value plus 3. Knows no vocabulary but that."""

from __future__ import annotations

from collections.abc import Collection, Sequence

#: Ids below belong to padding, the end of a text, and the unknown token.
OFFSET = 3

_PRINTABLE = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}

#: byte -> its name in tokenizer.json: itself where it is printable, else the next character from U+0100 on (GPT-2's).
BYTE_NAMES: tuple[str, ...] = tuple(
    chr(byte if byte in _PRINTABLE else 0x100 + len(set(range(byte)) - _PRINTABLE)) for byte in range(0x100)
)

_BYTES = {name: bytes([byte]) for byte, name in enumerate(BYTE_NAMES)}


class Bytes:
    """Special tokens have names longer than one character."""

    def segment(self, text: str) -> list[int]:
        """The ids of a text without special tokens."""
        return [byte + OFFSET for byte in text.encode()]

    def join(self, names: Sequence[str], special: Collection[str]) -> str:
        """The text of tokens; bytes that are not UTF-8 are left out."""
        return b"".join(_BYTES.get(name) or name.encode() for name in names).decode(errors="ignore")
