"""How near a written text is to the right one: BLEU, or to the letter. It knows no model."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_TOKEN = re.compile(r"\w+|[^\w\s]")


def bleu(found: Sequence[str], right: Sequence[str]) -> float:
    """Corpus BLEU-4 with one reference each, between 0 and 1; words and punctuation marks are the tokens.

    Papineni et al. 2002, "BLEU: a method for automatic evaluation of machine translation": the geometric mean of
    the clipped n-gram precisions, n = 1 to 4, times exp(1 - r/c) where the c tokens found are fewer than the r right.
    """
    hits, totals, length, wanted = [0] * 4, [0] * 4, 0, 0
    for candidate, reference in zip(found, right, strict=True):
        got, gold = _TOKEN.findall(candidate), _TOKEN.findall(reference)
        length, wanted = length + len(got), wanted + len(gold)
        for n in range(1, 5):
            grams = _grams(got, n)
            hits[n - 1] += (grams & _grams(gold, n)).total()
            totals[n - 1] += grams.total()
    if 0 in hits:
        return 0.0
    precision = sum(math.log(hit / total) for hit, total in zip(hits, totals, strict=True)) / 4
    return math.exp(precision + min(0.0, 1 - wanted / length))


def exact(found: Sequence[str], right: Sequence[str]) -> float:
    """The share of texts that are right to the letter."""
    return sum(candidate == reference for candidate, reference in zip(found, right, strict=True)) / len(found)


def _grams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1))
