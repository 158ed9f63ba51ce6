"""What may be written, and how likely words follow words: a list of words, and an n-gram model of a file in ARPA form.

Files are a caller's: they are read without trust, and a fault in one is named with its line.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from onnxpress.errors import InputError

#: How files in ARPA form end.
_ENDINGS = (".arpa", ".arpa.gz")

#: How KenLM's binary files begin.
_KENLM = b"mmap lm http://kheafield.com/code"

#: The longest n-gram, and the most of a file.
_MAX_ORDER, _MAX_ENTRIES, _MAX_LINE = 10, 50_000_000, 100_000

_BEGIN, _END, _UNKNOWN = "<s>", "</s>", "<unk>"

#: What a word costs that an n-gram model without <unk> does not know, as a decimal logarithm.
_STRANGE = -10.0

#: The words of an n-gram -> the decimal logarithms of its probability, and of its weight where a longer one is missing.
Entries = Mapping[tuple[str, ...], tuple[float, float]]


class Words:
    """The words that may be written."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(word for word in words if word)
        self._beginnings = frozenset(word[:end] for word in self._words for end in range(1, len(word) + 1))
        if not self._words:
            raise InputError("The list of words is empty: pass the words that may be written, or none at all.")

    def has(self, word: str) -> bool:
        return word in self._words

    def begins(self, text: str) -> bool:
        """Whether a word begins so."""
        return text in self._beginnings


@dataclass(frozen=True, slots=True)
class Language:
    """An n-gram model of words with back-off. Scores are natural logarithms."""

    entries: Entries
    order: int

    #: The word after the last.
    end = _END

    @property
    def beginning(self) -> tuple[str, ...]:
        """The history of a first word."""
        return (_BEGIN,)[: self.order - 1]

    def history(self, history: tuple[str, ...], word: str) -> tuple[str, ...]:
        """The history of the word behind `word`: as many words as the model looks back."""
        return (*history, self._known(word))[-(self.order - 1) :] if self.order > 1 else ()

    def score(self, history: tuple[str, ...], word: str) -> float:
        """How likely `word` is behind the words of `history`."""
        return math.log(10) * self._score(history, self._known(word))

    def _known(self, word: str) -> str:
        return word if (word,) in self.entries else _UNKNOWN

    def _score(self, history: tuple[str, ...], word: str) -> float:
        weights = 0.0
        while (entry := self.entries.get((*history, word))) is None:
            if not history:
                return weights + _STRANGE
            weights += self.entries.get(history, (0.0, 0.0))[1]
            history = history[1:]
        return weights + entry[0]


def read_words(path: Path) -> Words:
    """A word a line.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    return Words(line.strip() for line in _lines(path))


def read_arpa(path: Path) -> Language:
    """An n-gram model from a file in ARPA form, which may be compressed (.gz), or from the folder that has one, as some
    checkpoints do (`language_model`).

    Raises:
        InputError: it cannot be read, or is of another form; KenLM's binary one, for example.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.name.endswith(_ENDINGS))
        if not files:
            raise InputError(
                f"{path} has no .arpa file. Checkpoints often have KenLM's binary one alone, which is not read here: "
                "write an .arpa file with lmplz, or leave language_model out."
            )
        path = files[0]
    entries: dict[tuple[str, ...], tuple[float, float]] = {}
    order = longest = 0
    for number, line in enumerate(_lines(path), start=1):
        line = line.strip()
        if not line or line == "\\data\\" or line.startswith("ngram "):
            continue
        if line == "\\end\\":
            break
        if line.startswith("\\"):
            order = _order(line, path, number)
            longest = max(longest, order)
            continue
        if order == 0:
            raise InputError(f"{path}, line {number}: no n-gram model in ARPA form, which begins with \\data\\.")
        words, numbers = _entry(line, order, path, number)
        entries[words] = numbers
        if len(entries) > _MAX_ENTRIES:
            raise InputError(f"{path}: more than {_MAX_ENTRIES} n-grams; prune the model.")
    if not entries:
        raise InputError(f"{path}: no n-grams in ARPA form.")
    return Language(entries, longest)


def _order(line: str, path: Path, number: int) -> int:
    order = line.removeprefix("\\").removesuffix("-grams:")
    if not order.isdigit() or not 1 <= int(order) <= _MAX_ORDER:
        raise InputError(f"{path}, line {number}: {line[:40]!r} is no \\N-grams: with N from 1 to {_MAX_ORDER}.")
    return int(order)


def _entry(line: str, order: int, path: Path, number: int) -> tuple[tuple[str, ...], tuple[float, float]]:
    """A line of an n-gram: its logarithm, its words and, of those that others begin with, its weight."""
    probability, *rest = line.split()
    words, weights = tuple(rest[:order]), rest[order:]
    try:
        if len(words) != order or len(weights) > 1:
            raise ValueError
        numbers = float(probability), float(weights[0]) if weights else 0.0
        if not all(map(math.isfinite, numbers)):
            raise ValueError
    except ValueError:
        raise InputError(f"{path}, line {number}: {line[:60]!r} is no {order}-gram in ARPA form.") from None
    return words, numbers


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            first = file.read(len(_KENLM))
        if first == _KENLM:
            raise InputError(
                f"{path} is a binary file of KenLM, which only that library reads. Pass the .arpa file that it was "
                "built of, or write one with lmplz."
            )
        zipped = first.startswith(b"\x1f\x8b")
        with gzip.open(path, "rt", encoding="utf-8") if zipped else path.open(encoding="utf-8") as lines:
            while line := lines.readline(_MAX_LINE):
                yield line
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"{path} cannot be read as text: {str(error)[:120]}") from error
