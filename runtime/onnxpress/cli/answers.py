"""Answers the rows of a command, in order, each as soon as it is ready. Does not know the terminal."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from onnxpress.cli.rows import InputRow
from onnxpress.errors import InputError, OnnxpressError
from onnxpress.pipelines.payload import Body, Call
from onnxpress.pipelines.table import TASKS

if TYPE_CHECKING:
    from onnxpress.pipelines.base import Pipeline
    from onnxpress.pipelines.task import Task

Answer = tuple[InputRow, Any]


def answers(
    pipe: Pipeline[Any, Any],
    rows: Iterable[InputRow],
    options: Mapping[str, Any],
    *,
    waits: Callable[[], bool] = lambda: False,
    goes_on: bool = False,
) -> Iterator[Answer]:
    """Each row with its result, or each text with its entry where all rows are one input together.

    Args:
        waits: whether the next row is not there yet: what was read is then answered first.
        goes_on: whether an error about a row stands in the place of its result.

    Raises:
        InputError: a row or an option is none of the task; the message has the row's place.
    """
    task = TASKS[pipe.task]
    if task.payload.gathers(options):
        together = list(rows)
        yield from _entries(pipe, task.call([body_of(row) for row in together], options), together)
        return
    asked = (_Asked(row, options).called(task) for row in rows)
    for argument, result in _streamed(pipe, asked, options, waits, goes_on):
        if isinstance(result, OnnxpressError):
            result = placed(argument.row, result)
            if not goes_on:
                raise result
        yield argument.row, result


def body_of(row: InputRow) -> Body:
    """What a row asks.

    Raises:
        InputError: that is not known.
    """
    if isinstance(row.body, InputError):
        raise row.body
    return row.body


def placed(row: InputRow, error: OnnxpressError) -> OnnxpressError:
    """The error with the row's place before it."""
    return type(error)(f"{row.where}: {error.args[0]}")


def hinted(row: InputRow, error: InputError) -> InputError:
    """The error of a JSON object that is no call, with the option that asks one of its fields."""
    if row.fields is not None or not isinstance(row.body, Mapping) or "inputs" in row.body:
        return error
    name = next((name for name, value in row.body.items() if isinstance(value, str)), None)
    if name is None:
        return error
    return InputError(f"{error} To ask one field of JSON objects and keep the others: --field {shlex.quote(name)}.")


@dataclass(slots=True)
class _Asked:
    """A row, and the call that it asks for, or why it is none."""

    row: InputRow
    options: Mapping[str, Any]
    inputs: tuple[Any, ...] = ()
    many: bool = False
    error: InputError | None = None

    def called(self, task: Task) -> _Asked:
        try:
            call = task.call(body_of(self.row), self.options)
        except InputError as error:
            self.error = hinted(self.row, error)
        else:
            self.inputs, self.options, self.many = call.inputs, call.options, call.many
        return self


class _Source:
    """The inputs of arguments with the same options; each argument waits for its results once its first is read."""

    def __init__(self, group: Iterable[_Asked], waits: Callable[[], bool]) -> None:
        self.group = group
        self.waits = waits
        self.waiting: deque[_Asked] = deque()

    def __iter__(self) -> Iterator[Any]:
        for argument in self.group:
            self.waiting.append(argument)
            yield from argument.inputs


def _streamed(
    pipe: Pipeline[Any, Any],
    asked: Iterable[_Asked],
    of_command: Mapping[str, Any],
    waits: Callable[[], bool],
    goes_on: bool,
) -> Iterator[tuple[_Asked, Any]]:
    """Arguments with the same options go through the pipeline as one stream, so that they share batches."""
    for (refused, options), group in groupby(asked, key=lambda argument: (bool(argument.error), argument.options)):
        if refused:
            yield from ((argument, argument.error) for argument in group)
            continue
        source = _Source(group, waits)
        on_error = "return" if goes_on else "raise"
        try:
            results = iter(pipe(source, **{"read_ahead": pipe.window, **options, "on_error": on_error}))
        except InputError as error:
            if options == of_command:
                raise
            # Options of these rows' own: other rows have others.
            yield from ((argument, hinted(argument.row, error)) for argument in source.group)
            continue
        argument: _Asked | None = None
        try:
            for result in results:
                argument = source.waiting.popleft()
                whole = [result, *islice(results, len(argument.inputs) - 1)]
                bad = next((error for error in whole if isinstance(error, OnnxpressError)), None)
                yield argument, bad or (whole if argument.many else result)
                argument = None
        except OnnxpressError as error:
            if not error.of_input or error.index is None:
                raise
            yield argument or source.waiting[0], error
            return


def _entries(pipe: Pipeline[Any, Any], call: Call, rows: list[InputRow]) -> Iterator[Answer]:
    """Pair the texts of the only input with the entries of its result, in the result's order."""
    for place, entry in enumerate(next(iter(pipe(iter(call.inputs), **call.options)))):
        yield rows[entry["index"] if isinstance(entry, Mapping) else place], entry
