"""What a mistyped name was probably meant to be. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

#: How alike two names have to be, from 0 to 1. Lower values suggest what nobody meant.
_LIKENESS = 0.72

#: Fewer letters are the beginning of too much.
_LETTERS = 3


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The name that a word is probably a misspelling of, or the beginning; capitals, spaces, hyphens and underscores do
    not count."""
    spelled, plain = {_plain(name): name for name in known}, _plain(word)
    begun = [name for name in spelled if len(plain) >= _LETTERS and name.startswith(plain)]
    close = begun if len(begun) == 1 else get_close_matches(plain, spelled, n=1, cutoff=_LIKENESS)
    return spelled[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ " Did you mean 'NAME'?", to follow a sentence that says what is wrong; empty where no name is near."""
    name = nearest(word, known)
    return "" if name is None else f" Did you mean {name!r}?"


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", "-", name.strip().lower())
