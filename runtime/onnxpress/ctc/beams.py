"""The likeliest rows of tokens: prefix beam search (Graves 2006; Hannun et al., arXiv:1408.2873), where all the ways to
say one row of tokens count together, and what words and language allow counts too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from math import exp, inf, log1p

import numpy as np
from numpy.typing import NDArray

from onnxpress.ctc.words import Language, Words

#: A token that is less likely at a moment, as a natural logarithm, is not tried there unless it is the best.
_LEAST = -9.0


@dataclass(frozen=True, slots=True)
class Alphabet:
    """What tokens are to words. `texts`: of each token; `delimits`: tokens between words; `begins`: tokens that begin a
    word, of models without a token between."""

    texts: Sequence[str]
    blank: int
    delimits: frozenset[int]
    begins: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Search:
    """`width`: rows that are kept at each moment. `words`: those that may be written, None: any. `language`: how likely
    words follow words; its logarithm times `weight` and `bonus` for each word are added to what the model heard."""

    width: int
    words: Words | None = None
    language: Language | None = None
    weight: float = 0.5
    bonus: float = 1.5


@dataclass(slots=True, eq=False)
class _Prefix:
    """A row of tokens: the last one and those before it. `word`: what is written of its last word. `history`: the words
    before, as far as the language looks. `language`: what they came to."""

    token: int
    before: _Prefix | None
    word: str = ""
    history: tuple[str, ...] = ()
    language: float = 0.0
    after: dict[int, _Prefix | None] = field(default_factory=dict)


#: Of a prefix, the logarithms of the ways to say it that end with a blank, and with its last token.
_Ways = tuple[float, float]


def search(log_probabilities: NDArray[np.floating], alphabet: Alphabet, settings: Search) -> list[int]:
    """The best row of tokens for float (moments, tokens), natural logarithms; no blanks, and tokens that are said twice
    are there twice."""
    root = _Prefix(alphabet.blank, None, history=() if settings.language is None else settings.language.beginning)
    beams: Mapping[_Prefix, _Ways] = {root: (0.0, -inf)}
    for moment in log_probabilities:
        beams = _after(moment, beams, alphabet, settings)
    ended = {prefix: _ways(ways) + _at_end(prefix, settings) for prefix, ways in beams.items()}
    best = max(ended, key=lambda prefix: ended[prefix])
    if ended[best] == -inf:  # no row ends with a word that is known: what was heard before the last counts
        best = max(beams, key=lambda prefix: _ways(beams[prefix]) + prefix.language)
        while best.before is not None and best.word:
            best = best.before
    return _row(best)


def _after(
    moment: NDArray[np.floating], beams: Mapping[_Prefix, _Ways], alphabet: Alphabet, settings: Search
) -> Mapping[_Prefix, _Ways]:
    """The best rows after one more moment."""
    tried = np.flatnonzero((moment >= _LEAST) | (moment == moment.max()))
    scores = {int(token): float(moment[token]) for token in tried if token != alphabet.blank}
    blank = float(moment[alphabet.blank])
    following: dict[_Prefix, _Ways] = {}
    for prefix, (with_blank, with_token) in beams.items():
        both = _sum(with_blank, with_token)
        repeated = float(moment[prefix.token]) if prefix.before is not None else -inf
        _add(following, prefix, both + blank, with_token + repeated)
        for token, score in scores.items():
            longer = _longer(prefix, token, alphabet, settings)
            if longer is not None:
                # The same token again is another one only behind a blank.
                _add(following, longer, -inf, score + (with_blank if token == prefix.token else both))
    best = nlargest(settings.width, following.items(), key=lambda item: _ways(item[1]) + item[0].language)
    return dict(best)


def _longer(prefix: _Prefix, token: int, alphabet: Alphabet, settings: Search) -> _Prefix | None:
    """The row with one more token; None: no word that may be written begins so."""
    if token not in prefix.after:
        prefix.after[token] = _lengthened(prefix, token, alphabet, settings)
    return prefix.after[token]


def _lengthened(prefix: _Prefix, token: int, alphabet: Alphabet, settings: Search) -> _Prefix | None:
    word, history, language = prefix.word, prefix.history, prefix.language
    delimits = token in alphabet.delimits
    if word and (delimits or token in alphabet.begins):
        if settings.words is not None and not settings.words.has(word):
            return None
        history, gained = _with_word(history, word, settings)
        word, language = "", language + gained
    if not delimits:
        word += alphabet.texts[token]
        if settings.words is not None and not settings.words.begins(word):
            return None
    return _Prefix(token, prefix, word, history, language)


def _with_word(history: tuple[str, ...], word: str, settings: Search) -> tuple[tuple[str, ...], float]:
    """The history behind a word, and what the word is worth."""
    if settings.language is None:
        return history, 0.0
    score = settings.weight * settings.language.score(history, word) + settings.bonus
    return settings.language.history(history, word), score


def _at_end(prefix: _Prefix, settings: Search) -> float:
    """What language makes of a row that ends; -inf: its last word may not be written."""
    history, language = prefix.history, prefix.language
    if prefix.word:
        if settings.words is not None and not settings.words.has(prefix.word):
            return -inf
        history, gained = _with_word(history, prefix.word, settings)
        language += gained
    if settings.language is not None:
        language += settings.weight * settings.language.score(history, settings.language.end)
    return language


def _row(prefix: _Prefix) -> list[int]:
    row = []
    while prefix.before is not None:
        row.append(prefix.token)
        prefix = prefix.before
    return row[::-1]


def _add(following: dict[_Prefix, _Ways], prefix: _Prefix, with_blank: float, with_token: float) -> None:
    blanks, tokens = following.get(prefix, (-inf, -inf))
    following[prefix] = _sum(blanks, with_blank), _sum(tokens, with_token)


def _ways(ways: _Ways) -> float:
    return _sum(*ways)


def _sum(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    return a if b == -inf else a + log1p(exp(b - a))
