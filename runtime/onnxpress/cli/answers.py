"""Answers the rows of a command, in order, each as soon as it is ready. Does not know the terminal."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from onnxpress.cli.rows import Row
from onnxpress.errors import InputError, OnnxpressError
from onnxpress.pipelines.payload import Body, Call
from onnxpress.pipelines.table import TASKS

if TYPE_CHECKING:
    from onnxpress.pipelines.base import Pipeline

Answer = tuple[Row, Any]


def answers(
    pipe: Pipeline[Any, Any], rows: Iterable[Row], options: Mapping[str, Any], *, goes_on: bool = False
) -> Iterator[Answer]:
    """Each row with its result, or each text with its entry where all rows are one input together.

    Args:
        goes_on: the error of a row stands in the place of its result, instead of being raised.

    Raises:
        OnnxpressError: a row is none of the task, or cannot be answered; the message names its place.
    """
    task = TASKS[pipe.task]
    if task.payload.gathers(options):
        together = list(rows)
        return _entries(pipe, task.call([body_of(row) for row in together], options), together)
    return _Answers(pipe, options, goes_on).streamed(rows)


class _Answers:
    """Calls with the same options go through the pipeline as one stream, so that they share batches."""

    def __init__(self, pipe: Pipeline[Any, Any], options: Mapping[str, Any], goes_on: bool) -> None:
        self._pipe = pipe
        self._options = options
        self._goes_on = goes_on
        #: Rows whose inputs were read, and whose results are to come.
        self._waiting: deque[tuple[Row, Call]] = deque()
        #: What ended the rows before their end.
        self._broken: OnnxpressError | None = None

    def streamed(self, rows: Iterable[Row]) -> Iterator[Answer]:
        for call_options, group in groupby(self._calls(rows), key=lambda pair: _key(pair[1])):
            if call_options is None:
                for row, error in group:
                    yield row, self._failed(row, error)
                continue
            more = {"on_error": "return"} if self._goes_on else {}
            try:
                results = iter(self._pipe(self._inputs(group), **call_options, **more))
            except InputError as error:  # an option, of the command or of these rows alone
                if call_options == self._options:
                    raise
                for row, _ in group:  # noqa: B031 - options are checked before anything is read
                    yield row, self._failed(row, error)
                continue
            while True:
                try:
                    result = next(results)
                except StopIteration:
                    break
                except OnnxpressError as error:
                    if not self._waiting or error.index is None:
                        raise
                    raise placed(self._waiting[0][0], error) from error
                row, call = self._waiting.popleft()
                answer = [result, *islice(results, len(call.inputs) - 1)] if call.many else result
                yield row, self._failed(row, answer) if isinstance(answer, OnnxpressError) else answer
        if self._broken is not None:
            raise self._broken

    def _calls(self, rows: Iterable[Row]) -> Iterator[tuple[Row, Call | OnnxpressError]]:
        task = TASKS[self._pipe.task]
        try:
            for row in rows:
                try:
                    yield row, task.call(body_of(row), self._options)
                except InputError as error:
                    yield row, error
        except OnnxpressError as error:  # what was read before is answered first
            self._broken = error

    def _inputs(self, group: Iterable[tuple[Row, Any]]) -> Iterator[Any]:
        """The inputs of these calls; each call waits for its results from when its first input is read."""
        for row, call in group:
            self._waiting.append((row, call))
            yield from call.inputs

    def _failed(self, row: Row, error: Any) -> OnnxpressError:
        named = placed(row, error)
        if not self._goes_on:
            raise named from error
        return named


def _key(call: Call | OnnxpressError) -> Mapping[str, Any] | None:
    return call.options if isinstance(call, Call) else None


def body_of(row: Row) -> Body:
    """What a row asks.

    Raises:
        InputError: that is not known.
    """
    if isinstance(row.body, InputError):
        raise row.body
    return row.body


def placed(row: Row, error: OnnxpressError) -> OnnxpressError:
    """The error with the row's place in front instead of a number."""
    error.index = None
    return type(error)(f"{row.where}: {error}")


def _entries(pipe: Pipeline[Any, Any], call: Call, rows: list[Row]) -> Iterator[Answer]:
    """Pair the texts of the only input with the entries of its result, in the result's order."""
    for place, entry in enumerate(next(iter(pipe(iter(call.inputs), **call.options)))):
        yield rows[entry["index"] if isinstance(entry, Mapping) else place], entry
