"""Scored tokens -> labelled tokens, words, entities. Pure functions; they know nothing of models or tokenizers.

The strategies and the order of the steps are those of transformers' token-classification pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

#: Tokens as the tokenizer writes them -> text.
Join = Callable[[Sequence[str]], str]


class TokenLabel(TypedDict):
    """Without aggregation: `index` counts the row's tokens, special ones included."""

    entity: str
    score: float
    index: int
    word: str
    start: int
    end: int


class Entity(TypedDict):
    """With aggregation. `start` and `end` count characters of the text."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Token:
    """One token. `scores` is float32 (labels,); `is_subword` says that it continues the word before it."""

    word: str
    scores: NDArray[Any]
    start: int
    end: int
    index: int
    is_subword: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    """A token or a word with its label."""

    label: str
    score: float
    word: str
    start: int
    end: int


def aggregate(tokens: Sequence[Token], strategy: str, labels: Sequence[str], join: Join) -> list[Any]:
    """The results of one window: `TokenLabel`s for strategy "none", else `Entity`s."""
    if strategy == "none":
        return [_token_label(token, labels) for token in tokens]
    decide = STRATEGIES[strategy]
    pieces = []
    for group in [[token] for token in tokens] if strategy == "simple" else _words(tokens):
        scores = decide(group)
        best = int(scores.argmax())
        word = group[0].word if strategy == "simple" else join([token.word for token in group])
        pieces.append(_Piece(labels[best], float(scores[best]), word, group[0].start, group[-1].end))
    return [_entity(group, join) for group in _runs(pieces)]


def merge_overlapping(entities: Sequence[Any]) -> list[Any]:
    """Entities of overlapping windows: of those that overlap, the longest, then the one with the best score."""
    merged: list[Any] = []
    for entity in sorted(entities, key=lambda e: int(e["start"])):
        last = merged[-1] if merged else None
        if last is None or not last["start"] <= entity["start"] < last["end"]:
            merged.append(entity)
        elif _rank(entity) > _rank(last):
            merged[-1] = entity
    return merged


def _rank(entity: Any) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]


def _token_label(token: Token, labels: Sequence[str]) -> TokenLabel:
    best = int(token.scores.argmax())
    return TokenLabel(
        entity=labels[best],
        score=float(token.scores[best]),
        index=token.index,
        word=token.word,
        start=token.start,
        end=token.end,
    )


def _words(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    word: list[Token] = []
    for token in tokens:
        if word and not token.is_subword:
            yield word
            word = []
        word.append(token)
    if word:
        yield word


def _runs(pieces: Sequence[_Piece]) -> Iterator[list[_Piece]]:
    """Neighbours with the same tag; a B- label begins a new run."""
    run: list[_Piece] = []
    for piece in pieces:
        if run and (piece.label.startswith("B-") or _tag(piece.label) != _tag(run[-1].label)):
            yield run
            run = []
        run.append(piece)
    if run:
        yield run


def _tag(label: str) -> str:
    """A label without its B- or I-; one without either is its own tag."""
    return label[2:] if label.startswith(("B-", "I-")) else label


def _entity(run: Sequence[_Piece], join: Join) -> Entity:
    return Entity(
        entity_group=run[0].label.split("-", 1)[-1],
        score=float(np.mean([piece.score for piece in run])),
        word=join([piece.word for piece in run]),
        start=run[0].start,
        end=run[-1].end,
    )


def _first(word: Sequence[Token]) -> NDArray[Any]:
    return word[0].scores


def _average(word: Sequence[Token]) -> NDArray[Any]:
    return np.asarray(np.mean([token.scores for token in word], axis=0))


def _max(word: Sequence[Token]) -> NDArray[Any]:
    return max(word, key=lambda token: float(token.scores.max())).scores


#: aggregation strategy -> the scores of a word from those of its tokens; "none" and "simple" make no words.
STRATEGIES: Mapping[str, Callable[[Sequence[Token]], NDArray[Any]]] = {
    "none": _first,
    "simple": _first,
    "first": _first,
    "average": _average,
    "max": _max,
}
