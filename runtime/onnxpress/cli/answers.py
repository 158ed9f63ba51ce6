"""Answers the arguments of a command line, in order, each as soon as it is ready. Does not know the terminal."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from onnxpress.pipelines.payload import Body, Call, read_argument
from onnxpress.pipelines.table import TASKS

if TYPE_CHECKING:
    from onnxpress.pipelines.base import Pipeline

Answer = tuple[Body, Any]


def answers(pipe: Pipeline[Any, Any], arguments: Iterable[str], options: Mapping[str, Any]) -> Iterator[Answer]:
    """Each argument with its result, or each text with its entry where all arguments are one input together.

    Raises:
        InputError: an argument or an option is none of the task.
    """
    row = TASKS[pipe.task]
    if row.payload.gathers(options):
        return _entries(pipe, row.call(list(arguments), options))
    bodies = (read_argument(text) for text in arguments)
    return _streamed(pipe, ((body, row.call(body, options)) for body in bodies))


def _streamed(pipe: Pipeline[Any, Any], calls: Iterable[tuple[Body, Call]]) -> Iterator[Answer]:
    """Calls with the same options go through the pipeline as one stream, so that they share batches."""
    for options, group in groupby(calls, key=lambda pair: pair[1].options):
        waiting: deque[tuple[Body, Call]] = deque()
        results = iter(pipe(_inputs(group, waiting), **{"read_ahead": pipe.window, **options}))
        for result in results:
            body, call = waiting.popleft()
            yield body, [result, *islice(results, len(call.inputs) - 1)] if call.many else result


def _inputs(group: Iterable[tuple[Body, Call]], waiting: deque[tuple[Body, Call]]) -> Iterator[Any]:
    """The inputs of these calls; each call waits for its results from when its first input is read."""
    for body, call in group:
        waiting.append((body, call))
        yield from call.inputs


def _entries(pipe: Pipeline[Any, Any], call: Call) -> Iterator[Answer]:
    """Pair the texts of the only input with the entries of its result, in the result's order."""
    for place, entry in enumerate(next(iter(pipe(iter(call.inputs), **call.options)))):
        index = entry["index"] if isinstance(entry, Mapping) else place
        yield call.parts[index], entry
