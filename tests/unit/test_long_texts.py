"""Long texts in pieces: everything is kept, each piece fits, and sentences stay whole where they can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.errors import InputError
from onnxpress.pipelines.long_texts import pieces
from tests.parity.texts import parity, texts


def test_cuts_are_at_the_ends_of_sentences() -> None:
    text = 'He said "Stop." Then he left!  Why?\nNobody knows. 今日は雨です。明日は晴れです。'
    assert pieces(text, lambda piece: len(piece) <= 20) == [
        ('He said "Stop."', " "),
        ("Then he left!  Why?", "\n"),
        ("Nobody knows.", " "),
        ("今日は雨です。明日は晴れです。", ""),
    ]
    assert pieces(text, lambda piece: True) == [(text, "")]


def test_a_long_sentence_is_cut_between_words() -> None:
    assert pieces("one two three four. Five", lambda piece: len(piece) <= 8) == [
        ("one two", " "),
        ("three", " "),
        ("four.", " "),
        ("Five", ""),
    ]


def test_a_long_word_is_refused() -> None:
    with pytest.raises(InputError, match="wonderful"):
        pieces("a wonderful day", lambda piece: len(piece) <= 4)


@parity
@given(texts(max_parts=30), st.integers(5, 60))
def test_nothing_is_lost(text: str, most: int) -> None:
    try:
        found = pieces(text, lambda piece: len(piece) <= most)
    except InputError:
        assert any(len(word) > most for word in text.split()) or len(text) > most
        return
    assert "".join(piece + space for piece, space in found) == text
    assert all(len(piece) <= most for piece, _ in found)
    assert all(not space.strip() for _, space in found)
