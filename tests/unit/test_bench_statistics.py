"""The benchmark's pure functions: what is promised of intervals, warm-up and quality figures."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress_bench.answers import compare_answers
from onnxpress_bench.statistics import is_stable, median_of, paired_gain, percentile, unpaired_gain
from onnxpress_bench.texts import text_of
from onnxpress_exporter.judging.wrong import is_wrong

times = st.floats(min_value=1e-3, max_value=1e6)
blocks = st.lists(st.tuples(times, times), min_size=2, max_size=12)


@settings(deadline=None)
@given(blocks)
def test_swapping_the_sides_inverts_the_gain_and_its_interval(pairs: list[tuple[float, float]]) -> None:
    base, other = [list(side) for side in zip(*pairs, strict=True)]
    forth = paired_gain(base, other, lower_is_better=True)
    back = paired_gain(other, base, lower_is_better=True)
    assert forth.low is not None and forth.high is not None and back.low is not None and back.high is not None
    assert forth.low <= forth.ratio * (1 + 1e-9) and forth.ratio <= forth.high * (1 + 1e-9)
    assert back.ratio == pytest.approx(1 / forth.ratio, rel=1e-9)
    assert np.log(back.low) == pytest.approx(-np.log(forth.high), rel=1e-6, abs=1e-9)
    assert {forth.verdict, back.verdict} in ({"better", "worse"}, {"no difference shown"})
    assert paired_gain(base, other, lower_is_better=False) == back


@settings(deadline=None)
@given(blocks, st.floats(min_value=1e-2, max_value=1e2))
def test_the_unit_does_not_matter(pairs: list[tuple[float, float]], unit: float) -> None:
    base, other = [list(side) for side in zip(*pairs, strict=True)]
    seconds = paired_gain(base, other, lower_is_better=True)
    scaled = paired_gain([t * unit for t in base], [t * unit for t in other], lower_is_better=True)
    assert scaled.ratio == pytest.approx(seconds.ratio, rel=1e-9)


def _verdicts(slowdown: float, count: int, repetitions: int = 400) -> list[str]:
    """Verdicts of repeated runs: blocks drift together, each process adds 3%, one in ten is hit by a neighbour."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(repetitions):
        drift = np.exp(rng.normal(0, 0.3, count))
        sides = []
        for factor in (1.0, slowdown):
            hit = 1 + 0.3 * (rng.random(count) < 0.1)
            sides.append(factor * drift * np.exp(rng.normal(0, 0.03, count)) * hit)
        found.append(paired_gain(*sides, lower_is_better=True).verdict)
    return found


@pytest.mark.parametrize("count", [3, 5, 8, 10])
def test_identical_backends_differ_in_at_most_one_run_of_twenty(count: int) -> None:
    verdicts = _verdicts(1.0, count)
    assert verdicts.count("no difference shown") / len(verdicts) >= 0.95


def test_a_backend_slower_by_a_tenth_is_found_in_ten_blocks() -> None:
    verdicts = _verdicts(1.1, 10)
    assert verdicts.count("worse") / len(verdicts) >= 0.8
    assert verdicts.count("better") == 0


def test_one_block_has_no_interval_and_no_verdict() -> None:
    gain = paired_gain([2.0], [1.0], lower_is_better=True)
    assert (gain.ratio, gain.low, gain.high, gain.verdict) == (2.0, None, None, "no difference shown")


@pytest.mark.parametrize(("base", "other"), [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [float("nan")])])
def test_what_cannot_be_paired_is_refused(base: list[float], other: list[float]) -> None:
    with pytest.raises(ValueError, match=r"pair|positive"):
        paired_gain(base, other, lower_is_better=True)


def _unpaired_verdicts(slowdown: float, first: int, second: int, noise: float = 0.03) -> list[str]:
    """Verdicts of 400 pairs of runs: each process adds 3% (in the second run `noise`), one in ten meets a neighbour."""
    rng = np.random.default_rng(11)
    found = []
    for _ in range(400):
        sides = [
            factor * np.exp(rng.normal(0, spread, count)) * (1 + 0.3 * (rng.random(count) < 0.1))
            for factor, spread, count in ((1.0, 0.03, first), (slowdown, noise, second))
        ]
        found.append(unpaired_gain(*sides, lower_is_better=True).verdict)
    return found


PAIRS = [(3, 3, 0.03), (3, 10, 0.1), (5, 5, 0.03), (10, 10, 0.1), (20, 20, 0.03)]


@pytest.mark.parametrize(("first", "second", "noise"), PAIRS)
def test_identical_runs_differ_in_at_most_one_pair_of_twenty(first: int, second: int, noise: float) -> None:
    verdicts = _unpaired_verdicts(1.0, first, second, noise)
    assert verdicts.count("no difference shown") / len(verdicts) >= 0.95


def test_a_run_slower_by_a_tenth_is_found_in_twenty_blocks() -> None:
    verdicts = _unpaired_verdicts(1.1, 20, 20)
    assert verdicts.count("worse") / len(verdicts) >= 0.9
    assert verdicts.count("better") == 0


@settings(deadline=None)
@given(st.lists(times, min_size=2, max_size=9), st.lists(times, min_size=2, max_size=9))
def test_swapping_two_runs_inverts_what_is_said_of_them(first: list[float], second: list[float]) -> None:
    forth = unpaired_gain(first, second, lower_is_better=True)
    assert forth.low is not None and forth.high is not None
    assert forth.low <= forth.ratio * (1 + 1e-9) and forth.ratio <= forth.high * (1 + 1e-9)
    back = unpaired_gain(second, first, lower_is_better=True)
    assert back.ratio == pytest.approx(1 / forth.ratio, rel=1e-9)
    assert unpaired_gain(second, first, lower_is_better=False).ratio == pytest.approx(forth.ratio, rel=1e-9)


def test_a_run_of_one_block_has_no_interval() -> None:
    gain = unpaired_gain([2.0], [1.0, 1.0, 1.0], lower_is_better=True)
    assert (gain.ratio, gain.low, gain.high, gain.verdict) == (2.0, None, None, "no difference shown")


@pytest.mark.parametrize(("before", "after"), [([], [1.0]), ([1.0], []), ([0.0], [1.0]), ([1.0], [float("nan")])])
def test_what_cannot_be_compared_is_refused(before: list[float], after: list[float]) -> None:
    with pytest.raises(ValueError, match=r"compared|positive"):
        unpaired_gain(before, after, lower_is_better=True)


@settings(deadline=None)
@given(st.lists(times, min_size=1))
def test_percentiles_lie_within_the_samples_and_rise(samples: list[float]) -> None:
    found = [percentile(samples, q) for q in (0, 50, 95, 100)]
    assert found[0] == min(samples) and found[-1] == max(samples)
    assert all(low <= high * (1 + 1e-12) for low, high in pairwise(found))


def test_a_warm_up_ends_when_times_stop_falling() -> None:
    falling = [100.0 / (1 + i) for i in range(10)]
    assert not is_stable(falling)
    assert not is_stable([10.0] * 9)
    assert is_stable([10.0] * 10)
    assert is_stable([*falling, *[10.0] * 10])


ANSWERS: dict[str, list[Any]] = {
    "feature-extraction": [[[0.1, 0.2], [0.3, 0.4]], [[1.0, 0.0]]],
    "fill-mask": [[{"token": 5, "score": 0.7}, {"token": 6, "score": 0.1}]],
    "question-answering": [{"score": 0.5, "start": 3, "end": 9, "answer": "a word"}],
    "sentence-similarity": [[0.6, 0.8], [1.0, 0.0]],
    "text-classification": [[{"label": "good", "score": 0.9}, {"label": "bad", "score": 0.1}]],
    "text-ranking": [[{"index": 1, "score": 0.8}, {"index": 0, "score": 0.2}]],
    "token-classification": [[{"entity_group": "PER", "start": 0, "end": 3, "score": 0.9}], []],
    "zero-shot-classification": [{"labels": ["a", "b"], "scores": [0.6, 0.4]}],
}

WRONG: dict[str, list[Any]] = {
    "feature-extraction": [[[0.2, 0.1], [0.4, 0.1]], [[1.0, 0.0]]],
    "fill-mask": [[{"token": 6, "score": 0.7}, {"token": 5, "score": 0.1}]],
    "question-answering": [{"score": 0.5, "start": 3, "end": 8, "answer": "a wor"}],
    "sentence-similarity": [[0.6, 0.8], [0.9, 0.4]],
    "text-classification": [[{"label": "bad", "score": 0.8}, {"label": "good", "score": 0.2}]],
    "text-ranking": [[{"index": 0, "score": 0.5}, {"index": 1, "score": 0.4}]],
    "token-classification": [[{"entity_group": "LOC", "start": 0, "end": 3, "score": 0.9}], []],
    "zero-shot-classification": [{"labels": ["b", "a"], "scores": [0.6, 0.4]}],
}


@pytest.mark.parametrize("task", ANSWERS)
def test_equal_answers_are_right_and_others_are_shown_as_wrong(task: str) -> None:
    same = compare_answers(task, ANSWERS[task], ANSWERS[task])
    other = compare_answers(task, ANSWERS[task], WRONG[task])
    assert not any(is_wrong(name, value) for name, value in same.items())
    assert any(is_wrong(name, value) for name, value in other.items())
    assert same.keys() == other.keys()


def test_answers_that_are_not_numbers_are_wrong() -> None:
    nan = compare_answers("sentence-similarity", [[0.6, 0.8]], [[float("nan"), 0.8]])
    assert all(is_wrong(name, value) for name, value in nan.items() if name.endswith("worst"))


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=200), st.integers(min_value=0, max_value=2**32))
def test_texts_fill_their_length_without_exceeding_it(tokens: int, seed: int) -> None:
    def count(text: str) -> int:
        return len(text.split())

    text = text_of(tokens, count, np.random.default_rng(seed))
    assert count(text) == tokens
    assert text == text_of(tokens, count, np.random.default_rng(seed))


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12), st.floats(-1e3, 1e3))
def test_a_median_of_differences_moves_with_them(values: list[float], shift: float) -> None:
    middle, low, high = median_of(values)
    assert low is not None and high is not None and low <= middle <= high
    assert median_of([value + shift for value in values]) == pytest.approx((middle + shift, low + shift, high + shift))


def test_differences_of_one_block_have_no_interval() -> None:
    assert median_of([-0.5]) == (-0.5, None, None)
    with pytest.raises(ValueError, match="no blocks"):
        median_of([])
