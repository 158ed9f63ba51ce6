"""Words of BlenderbotSmall's tokenizer: lower case, punctuation apart, lines marked. Knows no vocabulary."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

# transformers uses the regex library here, for which U+001C to U+001F are no spaces; for Python's re they are.
_WORD = re.compile(r"[\S\x1c-\x1f]+\n?")
_PUNCTUATION = re.compile(r"([.,!?()])")
_SPACES = re.compile(r"[^\S\x1c-\x1f]{2,}")

#: Ends the name of a token that ends a word. In transformers' vocabulary it is the others that have a mark, "@@".
END_OF_WORD = "</w>"


class BlenderbotWords:
    """`merge`: word -> ids and what they cover, by the merges of the vocabulary."""

    def __init__(self, merge: Callable[[str], Sequence[tuple[int, str]]]) -> None:
        self._merge = merge

    def segment(self, text: str) -> list[int]:
        """The ids of a text without special tokens."""
        return [number for chunk in _WORD.findall(text) for word in words(chunk) for number, _ in self._merge(word)]

    def join(self, names: Sequence[str], special: Collection[str]) -> str:
        """The text of tokens, words apart by one space."""
        tokens = (name if name in special else _token(name) for name in names)
        return " ".join(tokens).replace("@@ ", "").strip()


def words(chunk: str) -> list[str]:
    """What stands between two spaces -> words and punctuation marks, in lower case."""
    chunk = _PUNCTUATION.sub(r" \1", chunk).replace("'", " ' ")
    chunk = _SPACES.sub(" ", chunk).replace("\n", " __newln__")
    return [word.lower() for word in chunk.split(" ") if word]


def _token(name: str) -> str:
    return name.removesuffix(END_OF_WORD) if name.endswith(END_OF_WORD) else name + "@@"
