"""Answers the arguments of a command line, in order, each as soon as it is ready. Does not know the terminal."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from onnxpress.errors import InputError, OnnxpressError
from onnxpress.pipelines.payload import Body, Call, read_argument
from onnxpress.pipelines.table import TASKS

if TYPE_CHECKING:
    from onnxpress.pipelines.base import Pipeline
    from onnxpress.pipelines.task import Task

Answer = tuple[Body, Any]


def answers(
    pipe: Pipeline[Any, Any],
    arguments: Iterable[str],
    options: Mapping[str, Any],
    *,
    place: str = "Input",
    waits: Callable[[], bool] = lambda: False,
    goes_on: bool = False,
) -> Iterator[Answer]:
    """Each argument with its result, or each text with its entry where all arguments are one input together.

    Args:
        place: what an argument is called in errors, before its number.
        waits: whether the next argument is not there yet: what was read is then answered first.
        goes_on: whether an error about an argument stands in the place of its result.

    Raises:
        InputError: an argument or an option is none of the task; the message has the argument's number.
    """
    row = TASKS[pipe.task]
    if row.payload.gathers(options):
        yield from _entries(pipe, row.call(list(arguments), options))
        return
    asked = (_Asked(number, read_argument(text), options) for number, text in enumerate(arguments, 1))
    for argument, result in _streamed(pipe, (argument.called(row) for argument in asked), waits, goes_on):
        if isinstance(result, OnnxpressError):
            result = type(result)(f"{place} {argument.number}: {result.args[0]}")
            if not goes_on:
                raise result
        yield argument.body, result


@dataclass(slots=True)
class _Asked:
    """An argument, and the call that it asks for, or why it is none."""

    number: int
    body: Body
    options: Mapping[str, Any]
    inputs: tuple[Any, ...] = ()
    many: bool = False
    error: InputError | None = None

    def called(self, row: Task) -> _Asked:
        try:
            call = row.call(self.body, self.options)
        except InputError as error:
            self.error = error
        else:
            self.inputs, self.options, self.many = call.inputs, call.options, call.many
        return self


class _Source:
    """The inputs of arguments with the same options; each argument waits for its results once its first is read."""

    def __init__(self, group: Iterable[_Asked], waits: Callable[[], bool]) -> None:
        self._group = group
        self.waits = waits
        self.waiting: deque[_Asked] = deque()

    def __iter__(self) -> Iterator[Any]:
        for argument in self._group:
            self.waiting.append(argument)
            yield from argument.inputs


def _streamed(
    pipe: Pipeline[Any, Any], asked: Iterable[_Asked], waits: Callable[[], bool], goes_on: bool
) -> Iterator[tuple[_Asked, Any]]:
    """Arguments with the same options go through the pipeline as one stream, so that they share batches."""
    for (refused, options), group in groupby(asked, key=lambda argument: (bool(argument.error), argument.options)):
        if refused:
            yield from ((argument, argument.error) for argument in group)
            continue
        source = _Source(group, waits)
        on_error = "return" if goes_on else "raise"
        results = iter(pipe(source, **{"read_ahead": pipe.window, **options, "on_error": on_error}))
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


def _entries(pipe: Pipeline[Any, Any], call: Call) -> Iterator[Answer]:
    """Pair the texts of the only input with the entries of its result, in the result's order."""
    for place, entry in enumerate(next(iter(pipe(iter(call.inputs), **call.options)))):
        index = entry["index"] if isinstance(entry, Mapping) else place
        yield call.parts[index], entry
