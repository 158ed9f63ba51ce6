"""Which variant writes: where one overtakes the other, and that texts do not go to and fro."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.engine.choice import FASTER
from onnxpress.serve.by_load import HOLD_S, TRIED_FROM, ByLoad, Peak
from onnxpress.serve.step_times import StepTimes, crossover

SECONDS = st.floats(1e-4, 10.0)
TIMES = st.tuples(SECONDS, SECONDS, SECONDS).map(lambda seconds: StepTimes((1, 4, 16), seconds))
FEW_BYTES = StepTimes((1, 4, 16), (0.008, 0.012, 0.030))
QUICK_PRODUCTS = StepTimes((1, 4, 16), (0.014, 0.016, 0.020))


def version(precision: str) -> Any:
    return SimpleNamespace(main=SimpleNamespace(precision=precision), uses=0, texts=0)


def two(most: int = 16) -> tuple[ByLoad, Any, Any]:
    first, second = version("q4"), version("int8")
    by_load = ByLoad(first, "int8", most)
    assert by_load.timed(FEW_BYTES, QUICK_PRODUCTS)
    by_load.version = second
    return by_load, first, second


def test_times_are_those_measured_and_the_line_between_them() -> None:
    times = StepTimes((1, 4, 16), (1.0, 4.0, 10.0))
    assert [times.at(texts) for texts in (1, 4, 16)] == [1.0, 4.0, 10.0]
    assert times.at(2) == pytest.approx(2.0)
    assert times.at(10) == pytest.approx(7.0)
    assert times.at(32) == pytest.approx(20.0)


@given(TIMES, TIMES, st.integers(1, 40))
def test_the_second_is_faster_from_up_on_and_the_first_no_slower_at_down(
    first: StepTimes, second: StepTimes, most: int
) -> None:
    crossing = crossover(first, second, most)
    if crossing is None:
        assert second.at(most) > FASTER * first.at(most)
        return
    assert 0 <= crossing.down < crossing.up <= most
    assert all(second.at(texts) <= FASTER * first.at(texts) for texts in range(crossing.up, most + 1))
    assert crossing.up == 1 or second.at(crossing.up - 1) > FASTER * first.at(crossing.up - 1)
    assert not crossing.down or second.at(crossing.down) >= first.at(crossing.down)


@given(TIMES, st.floats(0.1, 10.0), st.integers(1, 16))
def test_one_that_is_as_fast_or_slower_by_the_same_share_never_overtakes(
    times: StepTimes, share: float, most: int
) -> None:
    second = StepTimes(times.texts, tuple(share * seconds for seconds in times.seconds))
    crossing = crossover(times, second, most)
    if share > FASTER + 1e-9:
        assert crossing is None
    elif share < FASTER - 1e-9:
        assert crossing is not None and (crossing.up, crossing.down) == (1, 0)


@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(0, 30)), min_size=1))
def test_a_peak_is_the_most_of_the_latest_seconds(noted: list[tuple[float, int]]) -> None:
    peak, now, entries = Peak(4.0), 0.0, []
    for passed, count in noted:
        now += passed
        entries.append((now, count))
        assert peak.note(count, now) == max(count for when, count in entries if when >= now - 4.0)


def test_few_texts_are_of_the_first_variant_and_many_of_the_second() -> None:
    by_load, first, second = two()
    assert by_load.crossover is not None
    up, down = by_load.crossover.up, by_load.crossover.down
    assert 4 < down < up <= 16
    first.uses = up - 2
    assert by_load.pick(0.0) is first
    first.texts = up - 1  # of fewer requests
    assert by_load.pick(0.0) is second
    first.uses = first.texts = 0
    assert by_load.pick(HOLD_S / 2) is second  # it has been a moment
    second.uses = down
    assert by_load.pick(3 * HOLD_S) is second  # there are as many as before
    second.uses = down - 1
    assert by_load.pick(5 * HOLD_S) is first


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.integers(0, 20)), max_size=60))
def test_texts_do_not_go_back_before_the_most_there_were_is_long_ago(load: list[tuple[float, int]]) -> None:
    by_load, first, second = two()
    now, changes, was = 0.0, [], first
    for passed, texts in load:
        now += passed
        first.uses = texts
        if (chosen := by_load.pick(now)) is not was:
            changes.append((now, chosen))
            was = chosen
    for (began, _), (ended, chosen) in itertools.pairwise(changes):
        assert chosen is second or ended - began >= HOLD_S


def test_it_is_tried_once_there_are_several_texts_and_not_again_where_it_is_of_no_use() -> None:
    first = version("q4")
    by_load = ByLoad(first, "int8", 16)
    for texts in range(TRIED_FROM - 1):
        first.uses = texts
        assert by_load.pick(0.0) is first and not by_load.wanted(0.0)
    first.uses = TRIED_FROM - 1
    assert by_load.pick(0.0) is first and by_load.wanted(0.0)
    by_load.failed("there is no memory for it", 0.0)
    assert not by_load.wanted(1.0) and by_load.wanted(100.0)
    assert not by_load.timed(QUICK_PRODUCTS, FEW_BYTES)
    assert not by_load.wanted(1e6)
    assert "int8 takes 1.50 of q4's time with 16 texts at once, which is not surely less" in by_load.why


def test_one_that_was_closed_is_opened_again_from_as_many_texts_as_it_is_faster_with() -> None:
    by_load, first, _ = two()
    by_load.close()
    assert by_load.crossover is not None
    first.uses = by_load.crossover.up - 2
    assert by_load.pick(0.0) is first and not by_load.wanted(0.0)
    first.uses += 1
    assert by_load.pick(0.0) is first and by_load.wanted(0.0)
