"""A sentencepiece normalization table, applied exactly: at each position the longest rule wins.

The Rust library has this table too, but looks it up grapheme by grapheme, takes the shortest rule and drops what is
left of the grapheme, so that decomposed Vietnamese, Korean or a full-width letter with an accent come out different.

The format is sentencepiece's own (normalizer.cc): the size of a double array in bytes (uint32, little-endian), the
array in the layout of Darts-clone, and the replacements, each ended by a zero byte. Knows nothing of spaces or pieces.
"""

from __future__ import annotations

import re
import struct
import sys
from array import array

from onnxpress.errors import CorruptFile


class Charsmap:
    """The table of one sentencepiece model. `apply` is a pure function of the text."""

    def __init__(self, blob: bytes, where: str = "charsmap") -> None:
        size = struct.unpack_from("<I", blob)[0] if len(blob) >= 4 else 0
        if size < 4 or size % 4 or size + 4 > len(blob) or not blob.endswith(b"\0"):
            raise CorruptFile(f"{where}: not a normalization table. Export or download the artifact again.")
        self._where = where
        self._units = array("I", blob[4 : 4 + size])
        if sys.byteorder == "big":
            self._units.byteswap()
        self._replacements = blob[4 + size :]
        self._seen: dict[str, tuple[int, str | None]] = {}
        self._plain = self._plain_run()

    def apply(self, text: str) -> str:
        """The text with every rule applied once, left to right; what a rule wrote is not read again."""
        parts, position, end = [], 0, len(text)
        while position < end:
            if run := self._plain.match(text, position):
                parts.append(run[0])
                position = run.end()
                continue
            first = text[position]
            node, rewritten = self._step(first)
            taken, ahead = 1, position + 1
            while node >= 0 and ahead < end:
                node, replacement = self._walk(node, text[ahead].encode())
                ahead += 1
                if replacement is not None:
                    rewritten, taken = replacement, ahead - position
            parts.append(first if rewritten is None else rewritten)
            position += taken
        return "".join(parts)

    def _step(self, char: str) -> tuple[int, str | None]:
        """Follow a first character: the node reached (-1: none), and the replacement of the character alone."""
        if (known := self._seen.get(char)) is None:
            known = self._seen[char] = self._walk(0, char.encode())
        return known

    def _walk(self, node: int, data: bytes) -> tuple[int, str | None]:
        """Follow the bytes of a character: the node reached (-1: none) and the replacement that ends there."""
        units = self._units
        try:
            for byte in data:
                unit = units[node]
                node ^= _offset(unit) ^ byte
                unit = units[node]
                if unit & 0x800000FF != byte:
                    return -1, None
            if not unit >> 8 & 1:
                return node, None
            start = units[node ^ _offset(unit)] & 0x7FFFFFFF
            stop = self._replacements.index(b"\0", start)
            return node, self._replacements[start:stop].decode()
        except (IndexError, ValueError):
            raise CorruptFile(f"{self._where}: a damaged normalization table. Download the artifact again.") from None

    def _plain_run(self) -> re.Pattern[str]:
        """Matches a run of ASCII characters that no rule can touch: most of most texts."""
        plain = ""
        for char in map(chr, range(0x20, 0x7F)):
            node, replacement = self._step(char)
            follows = node >= 0 and any(self._walk(node, bytes([byte]))[0] >= 0 for byte in range(1, 0x80))
            if replacement is None and not follows:
                plain += char
        return re.compile(f"[{re.escape(plain)}]+(?![^\\x00-\\x7f])" if plain else "(?!)")


def _offset(unit: int) -> int:
    """How far the children of a node are from it, as Darts-clone packs it."""
    return (unit >> 10) << ((unit & 0x200) >> 6)
