"""The model that a layout's reader finds in a folder. Knows neither layouts nor files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onnxpress.format.manifest import Manifest

#: "verified": compared with PyTorch, and each file has the hash that was written down then; "hashed": the hashes are
#: there, a comparison is not; "unverified": somebody's files as they are.
Trust = Literal["verified", "hashed", "unverified"]

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
        return f"{self.what}: {self.value} ({'assumed' if self.assumed else 'from'} {self.source})"


@dataclass(frozen=True, slots=True)
class Adopted:
    """How a folder without a manifest was understood. `layout`: the name of its layout."""

    layout: str
    answers: Answers
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A model as its manifest describes it: graphs by role, processors, variants. `trust`: how far to believe it.

    `adopted`: how it was understood, where there was no manifest; the manifest's task is "" then, until one is chosen.
    """

    manifest: Manifest
    trust: Trust
    adopted: Adopted | None = None
