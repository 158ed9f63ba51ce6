"""Which form wins: a clear one, and none by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from onnxpress.format.manifest import FormTime
from onnxpress.format.variants import CONTROL, DEFAULT_FORM
from onnxpress_exporter.tuning.contest import compared, interval, promising, winners

ROUNDS = 15


def times_of(**ratios: Sequence[float] | float) -> dict[str, tuple[FormTime, ...]]:
    """Times of forms whose every round takes these shares of the default's, one for each shape; the control too."""
    columns = {DEFAULT_FORM: 1.0, CONTROL: 1.0, **ratios}
    shapes = max(1 if isinstance(column, float) else len(column) for column in columns.values())
    by_shape = []
    for shape in range(shapes):
        shares = {name: column if isinstance(column, float) else column[shape] for name, column in columns.items()}
        by_shape.append(compared({name: [0.01 * share] * ROUNDS for name, share in shares.items()}, 1, 16 + shape))
    return {name: tuple(times[name] for times in by_shape) for name in columns}


def noisy(generator: np.random.Generator, share: float, spread: float) -> dict[str, tuple[FormTime, ...]]:
    """A form that takes this share of the default's time, on a machine that multiplies each run's time by chance."""
    by_shape = []
    for shape in ((1, 16), (1, 128), (8, 64)):
        rounds = {
            name: list(0.01 * factor * np.exp(np.abs(generator.normal(0, spread, ROUNDS))))
            for name, factor in ((DEFAULT_FORM, 1.0), (CONTROL, 1.0), ("other", share))
        }
        by_shape.append(compared(rounds, *shape))
    return {name: tuple(times[name] for times in by_shape) for name in (DEFAULT_FORM, CONTROL, "other")}


@pytest.mark.parametrize("count", [8, 9, 15, 30, 60])
def test_an_interval_holds_the_median_in_99_of_100_cases(count: int) -> None:
    ends = interval(range(count))
    assert ends is not None
    low, high = ends
    assert low + high == count - 1

    def outside(below: float) -> float:
        """The chance that the median lies below so many numbers, or above as many."""
        return 2 * sum(math.comb(count, hits) for hits in range(int(below) + 1)) / 2**count

    assert outside(low) <= 0.01 < outside(low + 1)


def test_of_few_rounds_nothing_is_known() -> None:
    assert [interval([1.0] * count) for count in range(8)] == [None] * 8
    times = compared({DEFAULT_FORM: [1.0] * 7, CONTROL: [1.0] * 7, "other": [0.5] * 7}, 1, 16)
    assert times["other"].low is None
    assert winners({name: (time,) for name, time in times.items()}) == []


def test_the_fastest_of_the_clear_winners_is_first() -> None:
    assert winners(times_of(b=0.9, a=0.8, c=0.98, d=1.2)) == ["a", "b"]


def test_a_final_is_for_what_is_below_the_default_by_its_median() -> None:
    times = times_of(b=0.98, a=[0.9, 1.02], c=0.995, d=1.2)
    assert promising(times) == ["a", "b"]
    assert promising({}) == []


def test_a_gain_within_what_one_form_differs_from_itself_is_none() -> None:
    assert winners(times_of(other=0.971)) == []
    assert winners(times_of(other=0.969)) == ["other"]


def test_a_form_that_is_clearly_slower_somewhere_does_not_win() -> None:
    assert winners(times_of(other=[0.5, 1.1])) == []
    assert winners(times_of(other=[0.5, 1.02])) == ["other"]


@pytest.mark.parametrize("control", [0.9, 1.1])
def test_where_the_default_form_differs_from_itself_nothing_wins(control: float) -> None:
    assert winners({**times_of(other=0.5), CONTROL: times_of(again=control)["again"]}) == []


def test_a_noisy_machine_does_not_choose_by_chance() -> None:
    generator = np.random.default_rng(0)
    for spread in (0.01, 0.1, 0.5, 1.0):
        assert not any(winners(noisy(generator, 1.0, spread)) for _ in range(50))


def test_a_large_gain_is_seen_through_some_noise() -> None:
    generator = np.random.default_rng(1)
    assert sum(bool(winners(noisy(generator, 0.8, 0.05))) for _ in range(50)) >= 45
