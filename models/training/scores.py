"""How near a written text is to the right one: BLEU of translations, ROUGE-L of headlines. It knows no model."""

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


def rouge_l(found: Sequence[str], right: Sequence[str]) -> float:
    """Mean F1 of the longest common subsequence of tokens.

    Lin 2004, "ROUGE: a package for automatic evaluation of summaries", ROUGE-L with equal weights.
    """
    total = 0.0
    for candidate, reference in zip(found, right, strict=True):
        got, gold = _TOKEN.findall(candidate), _TOKEN.findall(reference)
        total += 2 * _common(got, gold) / max(1, len(got) + len(gold))
    return total / len(found)


def exact(found: Sequence[str], right: Sequence[str]) -> float:
    """The share of texts that are right to the letter."""
    return sum(candidate == reference for candidate, reference in zip(found, right, strict=True)) / len(found)


def _grams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1))


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    """Tokens in the longest common subsequence."""
    row = [0] * (len(right) + 1)
    for token in left:
        before = row
        row = [0]
        for at, other in enumerate(right):
            row.append(before[at] + 1 if token == other else max(before[at + 1], row[at]))
    return row[-1]
