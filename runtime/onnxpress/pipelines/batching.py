"""Length-sorted batches under a token budget, and the order of the inputs restored.

Padding is waste: a batch costs rows x longest row. So rows are sorted by length, cut into batches that hold at most
`budget_tokens` padded tokens, and results go back to the order in which the inputs came. Inputs are read lazily, a
window at a time, so memory does not grow with their number. This module knows nothing of text or tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Rows, and tokens, in a full window. Wider windows pad less, and hold more memory and more results back.
WINDOW_ROWS = 512
WINDOW_TOKENS = 65_536


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence for the model. `context` is carried along untouched."""

    ids: Sequence[int]
    type_ids: Sequence[int] | None = None
    context: Any = None


@dataclass(frozen=True, slots=True)
class Request(Generic[Item]):
    """What one input becomes: its rows (a long text may become several) and what is needed to finish it."""

    rows: tuple[Row, ...]
    context: Item


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded to one length. All arrays are int64 (batch, sequence); `lengths` counts each row's real tokens."""

    rows: tuple[Row, ...]
    arrays: dict[str, NDArray[np.int64]]
    lengths: tuple[int, ...]
    side: Literal["left", "right"]

    @property
    def width(self) -> int:
        """Tokens of each row after padding."""
        return max(self.lengths)

    @property
    def attention(self) -> NDArray[np.bool_]:
        """Where real tokens stand: bool (batch, sequence)."""
        places, lengths = np.arange(self.width), np.array(self.lengths)[:, None]
        return np.asarray(places < lengths if self.side == "right" else places >= self.width - lengths)

    def span(self, index: int) -> slice:
        """Where row `index` has its real tokens."""
        length = self.lengths[index]
        return slice(0, length) if self.side == "right" else slice(self.width - length, self.width)


def plan(
    lengths: Sequence[int], budget_tokens: int, max_rows: int | None = None, *, padding: bool = True
) -> list[list[int]]:
    """Indices of `lengths`, longest first, cut into batches of at most `budget_tokens` padded tokens.

    A row longer than the budget gets a batch of its own. Every index occurs exactly once. Without `padding`, only
    rows of equal length share a batch.
    """
    batches: list[list[int]] = []
    width = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        full = not batches or (len(batches[-1]) + 1) * width > budget_tokens
        if full or len(batches[-1]) == max_rows or (not padding and lengths[index] != width):
            batches.append([])
            width = lengths[index]
        batches[-1].append(index)
    return batches


def pad(
    rows: Sequence[Row],
    *,
    names: Sequence[str],
    pad_id: int,
    pad_type_id: int = 0,
    side: Literal["left", "right"] = "right",
) -> Batch:
    """Rows as the arrays that a graph takes: those of input_ids, attention_mask and token_type_ids in `names`."""
    if len(rows) == 1:
        return _alone(rows[0], names)
    lengths = tuple(len(row.ids) for row in rows)
    shape = (len(rows), max(lengths))
    ids = np.full(shape, pad_id, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    types = np.full(shape, pad_type_id, dtype=np.int64) if "token_type_ids" in names else None
    batch = Batch(tuple(rows), {}, lengths, side)
    for index, row in enumerate(rows):
        span = batch.span(index)
        ids[index, span] = row.ids
        mask[index, span] = 1
        if types is not None:
            types[index, span] = row.type_ids if row.type_ids is not None else 0
    arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    batch.arrays.update({name: array for name in names if (array := arrays.get(name)) is not None})
    return batch


def _alone(row: Row, names: Sequence[str]) -> Batch:
    """A batch of one row, which needs no padding."""
    ids = np.array([row.ids], dtype=np.int64)
    made: dict[str, NDArray[np.int64]] = {"input_ids": ids}
    if "attention_mask" in names:
        made["attention_mask"] = np.ones_like(ids)
    if "token_type_ids" in names:
        made["token_type_ids"] = (
            np.zeros_like(ids) if row.type_ids is None else np.array([row.type_ids], dtype=np.int64)
        )
    return Batch((row,), {name: made[name] for name in names if name in made}, (ids.shape[1],), "right")


def stream(
    items: Iterable[Item],
    prepare: Callable[[Item], Request[Any]],
    run: Callable[[Sequence[Row]], Sequence[Any]],
    finish: Callable[[Any, list[Any]], Result],
    *,
    budget_tokens: int,
    max_rows: int | None = None,
    padding: bool = True,
    first_window_rows: int = 1,
    window_rows: int = WINDOW_ROWS,
    report: Callable[[int], None] = lambda done: None,
) -> Iterator[Result]:
    """Yield the result of each item in order, reading items only as they are needed.

    The window starts at `first_window_rows` rows and doubles up to `window_rows`, so the first result of a slow source
    comes at once and a long stream is still sorted by length. `max_rows=1` reads one input at a time.

    `prepare` makes an input's rows, `run` answers one batch of rows with one value per row, `finish` makes the
    result from the request's context and the values of its rows. `report` hears after each batch how many inputs are
    computed, those that wait for their turn in the order included.
    """
    source = iter(items)
    capacity = 1 if max_rows == 1 else min(first_window_rows, window_rows)
    before = 0  # inputs of the windows that are done
    while requests := _window(source, prepare, capacity):
        rows = [row for request in requests for row in request.rows]
        tell = _share(report, before, len(requests), len(rows))
        values = run_rows(rows, run, budget_tokens=budget_tokens, max_rows=max_rows, padding=padding, report=tell)
        before += len(requests)
        start = 0
        for request in requests:
            stop = start + len(request.rows)
            result = finish(request.context, values[start:stop])
            values[start:stop] = [None] * (stop - start)  # the consumer may keep the result, we do not
            start = stop
            yield result
        if max_rows != 1:
            capacity = min(capacity * 2, window_rows)


def run_rows(
    rows: Sequence[Row],
    run: Callable[[Sequence[Row]], Sequence[Any]],
    *,
    budget_tokens: int,
    max_rows: int | None = None,
    padding: bool = True,
    report: Callable[[int], None] = lambda done: None,
) -> list[Any]:
    """The values of `rows`, computed in length-sorted batches, in the order of the rows.

    `report` hears after each batch how many rows are computed.
    """
    values: list[Any] = [None] * len(rows)
    done = 0
    for batch in plan([len(row.ids) for row in rows], budget_tokens, max_rows, padding=padding):
        for index, value in zip(batch, run([rows[i] for i in batch]), strict=True):
            values[index] = value
        done += len(batch)
        report(done)
    return values


def _share(report: Callable[[int], None], before: int, requests: int, rows: int) -> Callable[[int], None]:
    """Rows computed in a window, reported as inputs computed in all."""
    return lambda done: report(before + requests * done // rows)


def checked(request: Request[Item]) -> Request[Item]:
    """The request, if every row of it has tokens.

    Raises:
        InputError: one has none.
    """
    for row in request.rows:
        if len(row.ids) == 0:
            raise InputError("An input has no tokens at all, and this model adds none of its own.")
    return request


def _window(source: Iterator[Item], prepare: Callable[[Item], Request[Any]], capacity: int) -> list[Request[Any]]:
    requests: list[Request[Any]] = []
    count = tokens = 0
    for item in source:
        request = checked(prepare(item))
        requests.append(request)
        count += len(request.rows)
        tokens += sum(len(row.ids) for row in request.rows)
        if count >= capacity or tokens >= WINDOW_TOKENS:
            break
    return requests
