"""The English sentences that the benchmark's inputs are made of, and texts of a wanted length made from them.

Knows nothing of tasks or models: what a token is, the caller says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

SENTENCES: tuple[str, ...] = tuple(Path(__file__).with_name("sentences.txt").read_text(encoding="utf-8").splitlines())

QUESTIONS: tuple[str, ...] = (
    "Where did it happen?",
    "Who is mentioned first?",
    "When was it?",
    "What should be done?",
    "What went wrong?",
    "How long did it take?",
)

Count = Callable[[str], int]


def text_of(tokens: int, count: Count, rng: Generator) -> str:
    """Whole sentences in random order, the last cut after a word, of at most `tokens` tokens (at least one word).

    `count` gives the tokens of a text as the model will see it.
    """
    words: list[str] = []
    while count(" ".join(words)) < tokens:
        words += SENTENCES[int(rng.integers(len(SENTENCES)))].split()
    fits, over = 1, len(words)
    while fits < over:  # the most words that fit
        middle = (fits + over + 1) // 2
        fits, over = (middle, over) if count(" ".join(words[:middle])) <= tokens else (fits, middle - 1)
    return " ".join(words[:fits])
