"""Tokens to words to entities, step by step, and what the call refuses. Parity with transformers is tested apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnxpress import InputError
from onnxpress.pipelines.entities import STRATEGIES, Token, aggregate, merge_overlapping
from onnxpress.pipelines.token_classification import TokenClassificationOptions

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC")


def join(tokens: Any) -> str:
    return " ".join(tokens).replace(" ##", "")


def tokens(*pieces: tuple[str, list[float]]) -> list[Token]:
    """Tokens of a text in which each piece follows the last, a space before every piece that does not start with ##."""
    made: list[Token] = []
    position = 0
    for index, (word, scores) in enumerate(pieces, start=1):
        subword = word.startswith("##")
        start = position + (0 if subword or not made else 1)
        position = start + len(word.removeprefix("##"))
        made.append(Token(word, np.array(scores, dtype=np.float32), start, position, index, subword))
    return made


def groups(strategy: str, *pieces: tuple[str, list[float]]) -> list[tuple[Any, ...]]:
    found = aggregate(tokens(*pieces), strategy, LABELS, join)
    return [(one["entity_group"], one["word"], one["start"], one["end"], round(one["score"], 3)) for one in found]


O = [0.9, 0.1, 0.0, 0.0, 0.0, 0.0]  # noqa: E741
B = [0.1, 0.8, 0.1, 0.0, 0.0, 0.0]
I = [0.1, 0.2, 0.7, 0.0, 0.0, 0.0]  # noqa: E741
LOC = [0.0, 0.0, 0.0, 0.0, 0.95, 0.05]
MISC = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


def test_none_labels_each_token() -> None:
    found = aggregate(tokens(("Jo", B), ("##hn", I)), "none", LABELS, join)
    assert found == [
        {"entity": "B-PER", "score": pytest.approx(0.8), "index": 1, "word": "Jo", "start": 0, "end": 2},
        {"entity": "I-PER", "score": pytest.approx(0.7), "index": 2, "word": "##hn", "start": 2, "end": 4},
    ]
    assert type(found[0]["score"]) is float


def test_simple_joins_what_continues_and_splits_at_b() -> None:
    assert groups("simple", ("Jo", B), ("##hn", I), ("Ann", B)) == [
        ("PER", "John", 0, 4, 0.75),
        ("PER", "Ann", 5, 8, 0.8),
    ]


def test_simple_splits_inside_a_word() -> None:
    assert [one[:2] for one in groups("simple", ("Jo", B), ("##hn", LOC))] == [("PER", "Jo"), ("LOC", "##hn")]


def test_an_i_without_b_begins_an_entity() -> None:
    assert groups("simple", ("x", O), ("Ann", I), ("Lee", I)) == [("O", "x", 0, 1, 0.9), ("PER", "Ann Lee", 2, 9, 0.7)]


def test_labels_without_prefix_are_joined() -> None:
    assert groups("simple", ("a", MISC), ("b", MISC)) == [("MISC", "a b", 0, 3, 1.0)]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("first", ("PER", 0.8)), ("max", ("LOC", 0.95)), ("average", ("LOC", 0.633))],
)
def test_a_word_has_one_label(strategy: str, expected: tuple[str, float]) -> None:
    found = groups(strategy, ("Jo", B), ("##hn", LOC), ("##ny", LOC))
    assert found == [(expected[0], "Johnny", 0, 6, expected[1])]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nothing_gives_nothing(strategy: str) -> None:
    assert aggregate([], strategy, LABELS, join) == []


def entity(start: int, end: int, score: float = 0.5) -> dict[str, Any]:
    return {"entity_group": "PER", "score": score, "word": "", "start": start, "end": end}


def test_of_overlapping_entities_the_longest_stays() -> None:
    short, long, apart = entity(0, 4), entity(2, 9), entity(9, 12)
    assert merge_overlapping([apart, short, long]) == [long, apart]


def test_of_equally_long_ones_the_surest_stays() -> None:
    weak, sure = entity(0, 4, 0.5), entity(0, 4, 0.9)
    assert merge_overlapping([weak, sure]) == merge_overlapping([sure, weak]) == [sure]
    assert merge_overlapping([]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"aggregation_strategy": "best"},
        {"aggregation_strategy": 3},
        {"ignore_labels": "O"},
        {"ignore_labels": 5},
        {"stride": -1},
        {"stride": 1.5},
    ],
)
def test_wrong_options(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        TokenClassificationOptions(**wrong)
