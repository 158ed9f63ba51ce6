"""Inputs are read lazily and answered in order; a bad one costs its neighbours nothing, and is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.errors import EngineError, InputError, OnnxpressError, SessionClosed
from onnxpress.pipelines.batching import Limits, Prepared
from onnxpress.pipelines.streaming import OnError, Windows, Work, stream
from onnxpress.samples import Sample


def _prepare(item: int) -> Prepared[int]:
    """An input that becomes `item % 3` samples, so some have none."""
    return Prepared(tuple(Sample({}, 1 + item % 5, item) for _ in range(item % 3)), item)


def _run(samples: Sequence[Sample]) -> list[int]:
    return [sample.context for sample in samples]


def _finish(context: int, values: list[Any]) -> tuple[int, list[int]]:
    return context, list(values)


WORK: Work[int, int, Any] = Work(_prepare, _run, _finish)
LIMITS = Limits(64)


def _results(
    items: Any, work: Work[Any, Any, Any] = WORK, limits: Limits = LIMITS, *, on_error: OnError = "raise",
    hurries: bool = False, **windows: int,
) -> Iterator[Any]:  # fmt: skip
    return stream(items, work, limits, replace(Windows(), **windows), on_error=on_error, hurries=hurries)


@given(st.lists(st.integers(0, 50), max_size=200), st.none() | st.integers(1, 4), st.integers(1, 64))
def test_stream_answers_each_item_in_order(items: list[int], max_samples: int | None, budget: int) -> None:
    results = list(_results(iter(items), WORK, Limits(budget, max_samples)))
    assert results == [(item, [item] * (item % 3)) for item in items]


def _counting(log: list[int]) -> Iterator[int]:
    for item in range(1, 10_000, 3):  # each gives one sample
        log.append(item)
        yield item


def test_stream_reads_a_little_and_then_more() -> None:
    read: list[int] = []
    results = _results(_counting(read))
    assert read == []
    next(results)
    assert len(read) == 1
    for _ in range(2000):
        next(results)
    assert len(read) <= 2001 + 512


def test_a_window_is_full_when_its_samples_cost_enough() -> None:
    read: list[int] = []
    next(_results(_counting(read), first=512, cost=20))
    assert sum(1 + item % 5 for item in read[:-1]) < 20 <= sum(1 + item % 5 for item in read)


def _together(groups: list[list[int]], slack: int = 1) -> Work[int, int, Any]:
    """Inputs with one sample are prepared together."""

    def prepare_many(group: Sequence[int]) -> list[Prepared[int]]:
        groups.append(list(group))
        return [_prepare(item) for item in group]

    return replace(
        WORK, prepare_many=prepare_many, foresee=lambda item: (1 + item % 5) * slack if item % 3 == 1 else None
    )


@given(
    st.lists(st.integers(0, 50), max_size=200), st.booleans(), st.integers(1, 64), st.integers(1, 40),
    st.integers(1, 4),
)  # fmt: skip
def test_preparing_inputs_together_changes_no_batch(
    items: list[int], single: bool, first: int, cost: int, slack: int
) -> None:
    """Inputs are prepared together where the window surely takes them, whatever the estimate."""
    groups: list[list[int]] = []
    runs: list[list[list[int]]] = []
    for work in (WORK, _together(groups, slack)):
        batches: list[list[int]] = []

        def run(samples: Sequence[Sample], batches: list[list[int]] = batches) -> list[int]:
            batches.append(_run(samples))
            return batches[-1]

        windows = {"first": 1, "most": 1} if single else {"first": first}
        results = _results(iter(items), replace(work, run=run), Limits(30), cost=cost, **windows)
        assert list(results) == [(item, [item] * (item % 3)) for item in items]
        runs.append(batches)
    assert runs[0] == runs[1]
    assert all(item % 3 == 1 for group in groups for item in group)


def test_inputs_of_a_full_window_are_prepared_together() -> None:
    groups: list[list[int]] = []
    list(_results(range(1, 301, 3), _together(groups), first=100))
    assert len(groups[0]) == 100


@pytest.mark.parametrize("on_error", ["raise", "return"])
def test_inputs_prepared_together_may_hold_errors(on_error: Any) -> None:
    """A bad input costs its neighbours nothing, and they are prepared once."""
    groups: list[list[int]] = []
    work = _together(groups)
    together = work.prepare_many
    assert together is not None

    def prepare_many(group: Sequence[int]) -> list[Any]:
        return [InputError("bad") if item == 7 else entry for item, entry in zip(group, together(group), strict=True)]

    def prepare(item: int) -> Prepared[int]:
        raise AssertionError("prepared again")

    results = _results(
        [1, 4, 7, 10], replace(work, prepare_many=prepare_many, prepare=prepare), on_error=on_error, first=4
    )
    assert [next(results), next(results)] == [(1, [1]), (4, [4])]
    if on_error == "raise":
        with pytest.raises(InputError) as raised:
            next(results)
        assert raised.value.index == 2
    else:
        refused, last = results
        assert isinstance(refused, InputError) and refused.index == 2
        assert last == (10, [10])
    assert groups == [[1, 4, 7, 10]]


def test_a_window_of_one_never_reads_ahead() -> None:
    read: list[int] = []
    results = _results(_counting(read), most=1)
    for count in range(1, 50):
        next(results)
        assert len(read) == count


def _refusing(bad: set[int], step: str, error: Callable[[str], Exception] = InputError) -> Work[int, int, Any]:
    """Work that fails at some items: when they are prepared, run or finished."""

    def refuse(item: int) -> None:
        if item in bad:
            raise error(f"{item} is bad")

    def prepare(item: int) -> Prepared[int]:
        if step == "prepare":
            refuse(item)
        return _prepare(item)

    def run(samples: Sequence[Sample]) -> list[int]:
        if step == "run":
            for sample in samples:
                refuse(sample.context)
        return _run(samples)

    def finish(context: int, values: list[Any]) -> Any:
        if step == "finish":
            refuse(context)
        return _finish(context, values)

    return Work(prepare, run, finish, lambda group: [prepare(item) for item in group], lambda item: 1)


STEPS = st.sampled_from(("prepare", "run", "finish"))
ITEMS = st.lists(st.sampled_from(range(1, 60, 3)), max_size=80)


@given(ITEMS, st.sets(st.sampled_from(range(1, 60, 3)), max_size=4), STEPS, st.integers(1, 40), st.booleans())
def test_every_input_is_answered_or_its_error_returned(
    items: list[int], bad: set[int], step: str, first: int, engine: bool
) -> None:
    work = _refusing(bad, step, EngineError if engine else InputError)
    results = list(_results(iter(items), work, Limits(30), on_error="return", first=first))
    assert len(results) == len(items)
    for place, (item, result) in enumerate(zip(items, results, strict=True)):
        if item in bad:
            assert isinstance(result, OnnxpressError)
            assert (result.index, str(result)) == (place, f"inputs[{place}]: {item} is bad")
        else:
            assert result == (item, [item])


@given(ITEMS, st.sampled_from(range(1, 60, 3)), STEPS, st.integers(1, 40))
def test_what_comes_before_a_bad_input_is_answered_first(items: list[int], bad: int, step: str, first: int) -> None:
    place = items.index(bad) if bad in items else len(items)
    results = _results(iter([*items, bad]), _refusing({bad}, step), Limits(30), first=first)
    assert [next(results) for _ in range(place)] == [(item, [item]) for item in items[:place]]
    with pytest.raises(InputError, match=f"{bad} is bad") as caught:
        next(results)
    assert caught.value.index == place
    assert list(results) == []  # the stream is over


@given(ITEMS, st.integers(1, 40), st.sampled_from(("raise", "return")))
def test_what_comes_before_the_source_fails_is_answered_first(items: list[int], first: int, on_error: OnError) -> None:
    def broken() -> Iterator[int]:
        yield from items
        raise ConnectionResetError

    results = _results(broken(), _refusing(set(), ""), Limits(30), first=first, on_error=on_error)
    assert [next(results) for _ in items] == [(item, [item]) for item in items]
    with pytest.raises(ConnectionResetError):
        next(results)


def test_of_a_bad_input_and_a_source_that_fails_after_it_the_input_raises() -> None:
    def broken() -> Iterator[int]:
        yield from (1, 4, 7)
        raise ConnectionResetError

    for error in (InputError, ValueError):
        results = _results(broken(), _refusing({4}, "prepare", error), first=9)
        assert next(results) == (1, [1])
        with pytest.raises(ValueError, match="4 is bad"):
            next(results)


def test_an_error_that_is_about_no_input_ends_the_stream() -> None:
    for step in ("prepare", "run", "finish"):
        with pytest.raises(SessionClosed) as caught:
            list(_results([1, 4, 7], _refusing({4}, step, SessionClosed), on_error="return", first=9))
        assert caught.value.index is None


def test_of_a_list_nothing_is_computed_once_an_input_is_known_to_be_bad() -> None:
    def run(samples: Sequence[Sample]) -> list[int]:
        raise AssertionError

    with pytest.raises(InputError, match=r"inputs\[2\]: 7 is bad"):
        next(_results([1, 4, 7], replace(_refusing({7}, "prepare"), run=run), first=3, hurries=True))


def test_only_the_halves_with_a_bad_input_are_computed_again() -> None:
    sizes: list[int] = []
    work = _refusing({4}, "run")

    def run(samples: Sequence[Sample]) -> Sequence[int]:
        sizes.append(len(samples))
        return work.run(samples)

    results = list(_results([4, *[1] * 63], replace(work, run=run), Limits(999), on_error="return", first=64))
    assert results[1:] == [(1, [1])] * 63
    assert len(sizes) == 1 + 2 * 6


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.booleans(), st.integers(1, 40))
def test_a_live_source_is_answered_before_it_is_waited_for(pauses: list[bool], together: bool, first: int) -> None:
    """`pauses[i]`: whether the source waits before input i; it may wait for the answers to all before it."""

    class Source:
        def __init__(self) -> None:
            self.read = 0

        def __iter__(self) -> Iterator[int]:
            for number, pause in enumerate(pauses):
                assert not pause or len(answers) == number
                self.read += 1
                yield 1

        def waits(self) -> bool:
            return self.read < len(pauses) and pauses[self.read]

    answers: list[Any] = []
    groups: list[list[int]] = []
    for answer in _results(Source(), _together(groups) if together else WORK, first=first):
        answers.append(answer)  # noqa: PERF402 - the source looks at them
    assert answers == [(1, [1])] * len(pauses)
