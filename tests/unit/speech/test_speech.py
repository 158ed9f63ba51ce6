"""Rules of times, segments, alignment, words and transcripts, on hand-made tokens. No graph, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.errors import InputError
from onnxpress.generation.rules import Written
from onnxpress.speech.alignment import attention_weights, times_of, token_times, warped
from onnxpress.speech.languages import code_of
from onnxpress.speech.rules import times_rule
from onnxpress.speech.segments import SpokenSegment, cut
from onnxpress.speech.tokens import SpeechTokens
from onnxpress.speech.transcripts import Chunks, TranscriptForm, transcript
from onnxpress.speech.words import words_of

#: Letters are 0 to 9, times 20 (0.00 s) and after.
END, NO_SPEECH, NO_TIMES, FIRST, VOCABULARY = 10, 18, 19, 20, 80
TOKENS = SpeechTokens(
    start=11,
    end=END,
    no_times=NO_TIMES,
    languages={"en": 12, "de": 13},
    tasks={"transcribe": 14},
    before=15,
    latest_start=5,
    multilingual=True,
)
PIECES = (" Hel", "lo", ",", " you", " (", "and", ")", " me", ".", " \ufffd")


def _decode(ids: Sequence[int]) -> str:
    return "".join(PIECES[token] for token in ids)


def _allowed(generated: Sequence[int], scores: np.ndarray | None = None) -> set[int]:
    """The tokens that the rule of times leaves after those that were generated."""
    scores = np.zeros(VOCABULARY, np.float32) if scores is None else scores
    times_rule(TOKENS)(Written(np.array([11, *generated], np.int64), 1), scores)
    return {int(token) for token in np.flatnonzero(np.isfinite(scores))}


def _likely_texts() -> np.ndarray:
    """Scores by which all times together are less likely than a letter."""
    return np.where(np.arange(VOCABULARY) < FIRST, 9.0, 0.0).astype(np.float32)


def test_a_text_begins_with_an_early_time() -> None:
    assert _allowed([]) == set(range(FIRST, FIRST + TOKENS.latest_start + 1))  # type: ignore[operator]


def test_a_time_closes_a_text_and_is_followed_by_one() -> None:
    assert _allowed([FIRST, 1, FIRST + 4], _likely_texts()) == {*range(END, NO_TIMES), *range(FIRST + 4, VOCABULARY)}
    assert _allowed([FIRST, 1, FIRST + 4, FIRST + 4], _likely_texts()) == set(range(NO_TIMES))
    assert _allowed([FIRST], _likely_texts()) == set(range(NO_TIMES))


def test_times_come_where_together_they_are_likelier() -> None:
    assert _allowed([FIRST, 1]) == set(range(FIRST + 1, VOCABULARY))
    assert _allowed([FIRST, 1], _likely_texts()) == {*range(NO_TIMES), *range(FIRST + 1, VOCABULARY)}


@given(st.integers(0, 10_000))
def test_times_of_a_text_that_is_drawn_never_go_back(seed: int) -> None:
    random, ids = np.random.default_rng(seed), [11]
    for _ in range(25):
        scores = random.normal(0, 4, VOCABULARY).astype(np.float32)
        times_rule(TOKENS)(Written(np.array(ids, np.int64), 1), scores)
        if not np.isfinite(scores).any():
            break
        ids.append(int(scores.argmax()))
    times = [token for token in ids if token >= FIRST]
    assert times == sorted(times) and NO_TIMES not in ids and ids[1] >= FIRST


def test_pairs_of_times_cut_segments() -> None:
    ids = [FIRST, 1, FIRST + 5, FIRST + 5, 2, FIRST + 9]
    segments, moved = cut(ids, TOKENS, 3000, 2, 30.0, [0.1 * place for place in range(len(ids))])
    assert [segment.tokens for segment in segments] == [(FIRST, 1, FIRST + 5), (FIRST + 5, 2, FIRST + 9)]
    assert moved == 3000 and all(segment.offset == 30.0 and segment.window == 2 for segment in segments)
    assert segments[1].times == pytest.approx((30.3, 30.4, 30.5))


def test_what_is_not_finished_is_heard_again() -> None:
    segments, moved = cut([FIRST, 1, FIRST + 5, FIRST + 5, 2], TOKENS, 3000, 0, 0.0, None)
    assert [segment.tokens for segment in segments] == [(FIRST, 1, FIRST + 5, FIRST + 5)]
    assert moved == 10 and segments[0].times is None


@pytest.mark.parametrize("ids", [[], [1, 2], [FIRST, 1], [FIRST, 1, FIRST + 5]])
def test_a_window_without_pairs_is_one_segment(ids: list[int]) -> None:
    assert cut(ids, TOKENS, 700, 0, 0.0, None) == ([SpokenSegment(tuple(ids), 0.0, 0)], 700)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000))
def test_the_path_is_the_cheapest(rows: int, columns: int, seed: int) -> None:
    costs = np.random.default_rng(seed).normal(size=(rows, columns))
    best = np.full((rows + 1, columns + 1), np.inf)
    best[0, 0] = 0
    for row in range(rows):
        for column in range(columns):
            around = min(best[row, column], best[row, column + 1], best[row + 1, column])
            best[row + 1, column + 1] = costs[row, column] + around
    at_rows, at_columns = warped(costs)
    path = list(zip(at_rows.tolist(), at_columns.tolist(), strict=True))
    assert path[0] == (0, 0) and path[-1] == (rows - 1, columns - 1)
    assert all((c - a, d - b) in {(0, 1), (1, 0), (1, 1)} for (a, b), (c, d) in pairwise(path))
    assert costs[at_rows, at_columns].sum() == pytest.approx(best[rows, columns], abs=1e-5)


def test_tokens_are_spoken_where_they_are_looked_for() -> None:
    weights = np.full((2, 3, 60), 0.01, np.float32)
    for token, places in enumerate((slice(0, 20), slice(20, 40), slice(40, 60))):
        weights[:, token, places] = 1.0
    assert token_times(weights, 7) == pytest.approx([0.0, 0.4, 0.8], abs=0.021)
    assert max(times_of(weights, 7, 100)) <= 1.0
    assert token_times(weights[:, :0], 7) == [] and token_times(weights[..., :0], 7) == [0.0] * 3
    assert len(token_times(weights[..., :2], 7)) == 3


def test_weights_add_up_to_one() -> None:
    random = np.random.default_rng(1)
    queries, keys = (random.normal(0, 30, (2, size, 4)).astype(np.float32) for size in (3, 5))
    weights = attention_weights(queries, keys)
    assert weights.shape == (2, 3, 5) and np.allclose(weights.sum(axis=-1), 1.0, atol=1e-6)


def test_words_take_their_punctuation() -> None:
    words = words_of([0, 1, 2, 3, 4, 5, 6, 7, 8], _decode, spaces=True)
    assert [(word.text, word.first, word.last) for word in words] == [
        (" Hello,", 0, 2),
        (" you", 3, 3),
        (" (and)", 4, 6),
        (" me.", 7, 8),
    ]


@given(st.lists(st.integers(0, 8), max_size=12), st.booleans())
def test_no_token_is_lost_between_words(ids: list[int], spaces: bool) -> None:
    words = words_of(ids, _decode, spaces=spaces)
    assert "".join(word.text for word in words) == _decode(ids)
    assert [place for word in words for place in range(word.first, word.last + 1)] == list(range(len(ids)))


def test_times_count_from_the_beginning_of_the_sound() -> None:
    segments = [
        SpokenSegment((FIRST, 0, 1, FIRST + 50), 0.0, 0),
        SpokenSegment((FIRST + 5, 3, FIRST + 10), 30.0, 1),
        SpokenSegment((FIRST + 10, 7), 30.0, 1),
    ]
    chunks = Chunks(TOKENS, frozenset(range(10, NO_TIMES)))
    told = [chunk for segment in segments for chunk in chunks.add(segment)]
    result = transcript([*told, *chunks.rest()], TranscriptForm("segment", True), _decode, "de")
    assert result["text"] == " Hello you me"
    assert [chunk["timestamp"] for chunk in result["chunks"]] == [(0.0, 1.0), (30.1, 30.2), (30.2, None)]
    assert {chunk["language"] for chunk in result["chunks"]} == {"german"}
    assert list(transcript(told, TranscriptForm(None, False), _decode, "de")) == ["text"]


def test_words_have_the_times_of_their_tokens() -> None:
    segment = SpokenSegment((FIRST, 0, 1, 3, FIRST + 50), 0.0, 0, (0.0, 0.2, 0.4, 0.7, 0.9))
    chunks = Chunks(TOKENS, frozenset())
    result = transcript(list(chunks.add(segment)), TranscriptForm("word", False), _decode, "en")
    assert result["chunks"] == [
        {"text": " Hello", "timestamp": (0.0, 0.4)},
        {"text": " you", "timestamp": (0.4, 0.7)},
    ]


def test_the_first_word_does_not_begin_before_its_segment() -> None:
    heard = (FIRST + 15, 0, 1, FIRST + 50)
    for times, begins in (((0.0, 0.5, 0.7, 0.9), 0.3), ((0.0, 0.2, 0.7, 0.9), 0.0), ((0.4, 0.5, 0.7, 0.9), 0.4)):
        segment = SpokenSegment(heard, 0.0, 0, times)
        (chunk,) = Chunks(TOKENS, frozenset()).add(segment)
        assert chunk.spoken[0] == (begins, times[1])


@pytest.mark.parametrize("language", ["de", "German", "<|de|>", " DE "])
def test_languages_have_several_names(language: str) -> None:
    assert code_of(language) == "de" and TOKENS.language_id(language) == 13
    assert TOKENS.code_of_id(13) == "de" and TOKENS.code_of_id(1) is None


@pytest.mark.parametrize("language", ["fr", "klingon", 3, None])
def test_an_unknown_language_is_refused(language: object) -> None:
    with pytest.raises(InputError, match="language"):
        TOKENS.language_id(language)  # type: ignore[arg-type]
