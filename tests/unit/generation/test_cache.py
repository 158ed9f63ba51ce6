"""Rows of a cache take each other's places: compared with a plain gather of everything."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.errors import InputError, OutOfMemory
from onnxpress.generation.pool.cache import Cache, common_prefix
from onnxpress.generation.pool.moves import SPARE, moves, settled
from tests.fixtures.devices import SHADOW, add_shadow

SHAPES = {"a.key": (2, 3), "a.value": (2, 3), "b.key": (1, 4)}


DEVICES = ("cpu", SHADOW)


@pytest.fixture(autouse=True, scope="module")
def _shadow() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        add_shadow(monkeypatch)
        yield


def keys_of(ids: np.ndarray, text: int, name: str) -> np.ndarray:
    """Keys that depend on a token, all before it, and the text, as a model's do: (heads, positions, size)."""
    heads, size = SHAPES[name]
    history = np.cumsum((ids + 1) * (np.arange(len(ids)) + 1)) + 1000 * text + len(name)
    return np.broadcast_to(history[None, :, None], (heads, len(ids), size)).astype(np.float32)


def write(cache: Cache, row: int, ids: list[int], text: int = 0) -> None:
    """What a graph does, and the note of it."""
    start = cache.lengths[row]
    history = np.array([*cache.known(row)[:start], *ids])
    for name, buffer in cache.of_row(row).items():
        keys = buffer.read()
        keys[0, :, start : start + len(ids)] = keys_of(history, text, name)[:, start:]
        buffer.write(keys)
    cache.append(row, ids)


def expect(cache: Cache, histories: list[list[int]], texts: list[int]) -> None:
    assert list(cache.lengths) == [len(history) for history in histories]
    for row, (history, text) in enumerate(zip(histories, texts, strict=True)):
        known = cache.known(row)
        assert known[: len(history)].tolist() == history
        for name, buffer in cache.buffers().items():
            # What is known beyond the row's own tokens has to be there, too.
            np.testing.assert_array_equal(buffer.read()[row, :, : len(known)], keys_of(known, text, name))


@given(st.lists(st.integers(0, 7), min_size=1, max_size=8))
def test_moves_do_what_a_gather_does_and_no_row_twice(sources: list[int]) -> None:
    rows: dict[int, int] = {row: row for row in range(8)}
    order = moves(sources)
    for to, source in order:
        rows[to] = rows[source]
    assert [rows[row] for row in range(len(sources))] == sources
    written = [to for to, _ in order if to != SPARE]
    assert len(written) == len(set(written)) == sum(row != source for row, source in enumerate(sources))
    assert sum(to == SPARE for to, _ in order) <= len(sources) // 2


_small_rows = st.lists(st.lists(st.integers(0, 1), max_size=5), min_size=1, max_size=5)


@pytest.mark.parametrize("device", DEVICES)
@given(data=st.data(), histories=_small_rows)
def test_select_truncate_append_admit_are_a_naive_gather(
    data: st.DataObject, histories: list[list[int]], device: str
) -> None:
    texts = [data.draw(st.integers(0, 1), label="text") for _ in histories]
    cache = Cache(SHAPES, len(histories), 8, texts, device=device)
    for row, history in enumerate(histories):
        write(cache, row, history, texts[row])
    for _ in range(3):
        sources = data.draw(st.lists(st.integers(0, len(histories) - 1), min_size=1, max_size=6), label="sources")
        cache.select(sources)
        histories = [list(histories[source]) for source in sources]
        texts = [texts[source] for source in sources]
        if data.draw(st.booleans(), label="admits"):
            assert cache.admit(text=1) == len(histories)
            histories.append([])
            texts.append(1)
        expect(cache, histories, texts)
        for row, history in enumerate(histories):
            length = data.draw(st.integers(0, len(history)), label="length")
            cache.truncate(row, length)
            more = data.draw(st.lists(st.integers(0, 1), max_size=2), label="more")
            histories[row] = history[:length] + more
            cache.reserve(len(histories[row]))
            write(cache, row, more, texts[row])
        expect(cache, histories, texts)


def test_only_what_differs_is_copied() -> None:
    cache = Cache(SHAPES, 2, 64)
    write(cache, 0, [*range(40), 1, 2])
    write(cache, 1, [*range(40), 3, 4, 5])
    cache.buffers()["a.key"].array[0, :, 39] = -1  # a mark in the common beginning, which nobody reads or writes
    cache.select([1, 1])
    assert (cache.buffers()["a.key"].array[0, :, 39] == -1).all()
    assert cache.known(0).tolist() == [*range(40), 3, 4, 5]
    np.testing.assert_array_equal(
        cache.buffers()["a.key"].array[0, :, 40:43], cache.buffers()["a.key"].array[1, :, 40:43]
    )


def test_growth_keeps_rows_and_stops_at_the_limit() -> None:
    cache = Cache(SHAPES, 2, 4)
    write(cache, 0, [1, 2, 3, 4])
    write(cache, 1, [5])
    version = cache.version
    cache.reserve(4)
    assert (cache.capacity, cache.version) == (4, version)
    cache.reserve(5, limit=7)
    assert cache.capacity == 7
    assert cache.version != version
    expect(cache, [[1, 2, 3, 4], [5]], [0, 0])


def test_parts_are_contiguous_and_share_memory() -> None:
    cache = Cache(SHAPES, 3, 8)
    cache.select([0, 1])
    for name, buffer in cache.buffers().items():
        row = cache.of_row(1)[name]
        assert buffer.shape == (2, SHAPES[name][0], 8, SHAPES[name][1])
        assert buffer.array.flags.c_contiguous
        assert row.array.flags.c_contiguous
        assert np.shares_memory(buffer.array[1], row.array)
        assert cache.buffers(1)[name].shape[0] == 1


def test_a_row_that_joins_moves_nothing_where_there_is_room() -> None:
    cache = Cache(SHAPES, 3, 8)
    write(cache, 0, [1, 2])
    cache.select([0])
    version = cache.version
    assert [cache.admit(), cache.admit()] == [1, 2]
    assert cache.version == version
    write(cache, 2, [3])
    assert cache.admit() == 3
    assert cache.version != version
    expect(cache, [[1, 2], [], [3], []], [0] * 4)


def test_wrong_rows_and_lengths_are_refused() -> None:
    cache = Cache(SHAPES, 2, 8)
    for sources in ([], [2], [-1]):
        with pytest.raises(InputError, match="cannot be selected"):
            cache.select(sources)
    with pytest.raises(InputError, match="cannot be cut to 1"):
        cache.truncate(0, 1)


def test_more_than_the_memory_is_refused() -> None:
    with pytest.raises(OutOfMemory, match=r"2 rows of 1000000000000 tokens take 1280\d\d.0 GB"):
        Cache(SHAPES, 2, 10**12)


def test_common_prefix() -> None:
    assert common_prefix(np.array([1, 2, 3]), np.array([1, 2, 4])) == 2
    assert common_prefix(np.array([1, 2]), np.array([1, 2, 4])) == 2
    assert common_prefix(np.array([], np.int64), np.array([1])) == 0


@given(st.lists(st.integers(0, 20)), st.integers(0, 6))
def test_rows_from_the_end_fill_the_gaps(slots: list[int], start: int) -> None:
    order = settled(slots, start)
    assert sorted(order) == list(range(len(slots)))
    targets = range(start, start + len(slots))
    for slot in set(slots) & set(targets):
        assert slots[order[slot - start]] == slot
