"""How another tool's folder was understood: what was inferred, and what says so. Knows neither layouts nor files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from onnxpress.errors import printable

#: What a graph says of an input, by the shapes of what it returns: a score for each of some classes, of a text or of
#: each token; a score for each word of the vocabulary; where an answer begins and ends; what it holds of each token;
#: one vector; the next token; the next token of a text about the input. Of a picture: a score for each of some classes;
#: boxes with scores; scores at each place, or masks; how far each place is; a picture; what it holds of it; the next
#: token of a text about it. Of a text and a picture, a vector each.
Answers = Literal[
    "classes",
    "token classes",
    "words",
    "spans",
    "states",
    "vector",
    "text",
    "rewritten text",
    "picture classes",
    "boxes",
    "segments",
    "depths",
    "picture",
    "picture states",
    "described picture",
    "vectors of both",
]


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
class Adapter:
    """What stands between a graph of another tool and the manifest's words for it.

    `names`: name in the manifest -> the graph's, where they differ. `empty`: inputs that nobody gives and that hold
    nothing, a past of no tokens: the graph's name -> its axes after the batch's. `positions`: the graph's name of the
    input that takes each token's place in its row, and that nobody gives; "": there is none. `ones`: inputs of a graph
    that reads something else besides, which nobody gives: the graph's name -> the axes after the batch's of the one row
    of ones that it gets.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    empty: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    positions: str = ""
    ones: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def given(self) -> frozenset[str]:
        """The graph's names of inputs that nobody gives."""
        return frozenset((*self.empty, *self.ones, *((self.positions,) if self.positions else ())))

    def __bool__(self) -> bool:
        return bool(self.names or self.empty or self.positions or self.ones)


@dataclass(frozen=True, slots=True)
class Adopted:
    """How a folder without a manifest was understood. `layout`: the name of its layout. `adapters`: by graph, where
    one needs any."""

    layout: str
    answers: Answers
    facts: tuple[Fact, ...]
    adapters: Mapping[str, Adapter] = field(default_factory=dict)
