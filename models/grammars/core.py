"""The template language that all grammars share, and the split into training and held-out words.

A template names symbols in braces; a symbol expands to one of its rules, whose text may name
further symbols. `a(n)` becomes "a" or "an" once the next word is known. It knows no vocabulary.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from random import Random
from typing import Literal, TypeVar

Split = Literal["train", "heldout"]
Rules = Mapping[str, Sequence[str]]
T = TypeVar("T")

_SYMBOL = re.compile(r"\{([a-z_]+)\}")
_ARTICLE = re.compile(r"\b([Aa])\(n\) (?=\0?(\w))")


def words(text: str) -> tuple[str, ...]:
    """A list of words as they are easiest to read and to extend."""
    return tuple(text.split())


def expand(template: str, rules: Rules, rng: Random) -> str:
    """Replace every symbol, recursively; a symbol without rules is a KeyError."""
    while match := _SYMBOL.search(template):
        choice = rng.choice(rules[match.group(1)])
        template = template[: match.start()] + choice + template[match.end() :]
    return articles(template)


def articles(text: str) -> str:
    """Settle `a(n)` by the letter that follows; good enough for the words used here."""
    return _ARTICLE.sub(lambda m: m.group(1) + ("n " if m.group(2) in "aeiouAEIOU" else " "), text)


def sentence(text: str) -> str:
    """Upper-case the first letter, leaving the rest as written."""
    return text[:1].upper() + text[1:]


def is_heldout(key: str, one_in: int = 5) -> bool:
    """Whether a word or combination is kept from training: a fixed property of its spelling."""
    return zlib.crc32(key.encode()) % one_in == 0


def part(words: Sequence[str], split: Split, one_in: int = 5) -> tuple[str, ...]:
    """The words of one side of the split."""
    return tuple(word for word in words if is_heldout(word, one_in) == (split == "heldout"))


_ONSETS = words(
    """b bl br c ch cl cr d dr f fl fr g gl gr h j k l m n p ph pl pr qu r s sc sh sk sl sn sp st
    str sw t th tr v w wr y z"""
)
_NUCLEI = words("a e i o u a e i o u ai ea ee ie oa oo ou au ia io y")
_CODAS = words(
    """b ck ct d f g l ld ll m mp n nd ng nk nt p r rd rk rn rt s ss st t tch th x ve me ne te se ry
    ty er el on"""
)


def invented(rng: Random) -> str:
    """A word that does not exist, of one to three syllables: it teaches a model that the pieces
    of an unknown word say nothing by themselves."""
    parts = (rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_CODAS) for _ in range(rng.choice((1, 2, 2, 3))))
    return "".join(parts)


def pick(rng: Random, weighted: Mapping[T, float]) -> T:
    """One key, drawn with the weights."""
    return rng.choices(list(weighted), list(weighted.values()))[0]
