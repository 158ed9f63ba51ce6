"""How another tool's folder was understood: what was inferred, and what says so. Knows neither layouts nor files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onnxpress.errors import printable

#: What a graph says of an input, by the shapes of what it returns: a score for each of some classes, of a text or of
#: each token; a score for each word of the vocabulary; where an answer begins and ends; what it holds of each token;
#: one vector; the next token; the next token of a text about the input.
Answers = Literal["classes", "token classes", "words", "spans", "states", "vector", "text", "rewritten text"]


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was inferred. `source`: what says so. `assumed`: nothing does."""

    what: str
    value: str
    source: str
    assumed: bool = False

    def __str__(self) -> str:
        return printable(f"{self.what}: {self.value} ({'assumed' if self.assumed else 'from'} {self.source})")


@dataclass(frozen=True, slots=True)
class Adopted:
    """How a folder without a manifest was understood. `layout`: the name of its layout."""

    layout: str
    answers: Answers
    facts: tuple[Fact, ...]
