"""Answers parts, in this process or in several, and writes each when all of it is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TYPE_CHECKING, Any

from onnxpress.cli.answers import answers
from onnxpress.cli.bulk.forms import Columns, form_of
from onnxpress.cli.bulk.journal import RunParts, write_whole
from onnxpress.cli.rows import InputRow
from onnxpress.errors import EngineError, OnnxpressError

if TYPE_CHECKING:
    from onnxpress.pipelines.base import Pipeline

#: Bad rows whose reasons are told while the run goes on; all of them are in its answers.
TOLD = 10

#: Parts that wait for a worker, so that none of them idles while the next is read; there are no more in memory.
_WAITING = 1


@dataclass(frozen=True, slots=True)
class BatchJob:
    """How a part is answered.

    Args:
        model: what `onnxpress.pipeline` opens, with `opened` as its other arguments.
        options: arguments of the call.
        goes_on: whether a row that cannot be answered has its error written.
    """

    task: str
    model: str
    opened: Mapping[str, Any]
    options: Mapping[str, Any]
    goes_on: bool
    parts: RunParts
    columns: Columns


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that are written together."""

    number: int
    rows: tuple[InputRow, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """Rows that were answered; of those that could not be, how many, and the reasons of the first."""

    rows: int
    failures: int = 0
    reasons: tuple[str, ...] = ()


def cut(rows: Iterable[InputRow], size: int) -> Iterator[Part]:
    """The rows in parts of `size`; of no rows, one empty part. Where a part begins depends on nothing else, so that
    rows share batches with the same neighbours whenever they are answered."""
    source, number = iter(rows), 0
    while (part := tuple(islice(source, size))) or not number:
        yield Part(number, part)
        number += 1


def answer(pipe: Pipeline[Any, Any], job: BatchJob, todo: Iterable[Part]) -> Iterator[Done]:
    """Answer parts here; tells of each row."""
    for part in todo:
        yield from _answer(pipe, job, part)


def answer_in_processes(job: BatchJob, todo: Iterable[Part], workers: int) -> Iterator[Done]:
    """Answer parts in `workers` processes, each with the model open; tells of each part.

    Raises:
        OnnxpressError: of a row that cannot be answered, unless the job goes on; parts that are done stay.
        EngineError: a process ended, killed for its memory, perhaps.
    """
    source = iter(todo)
    with ProcessPoolExecutor(workers, get_context("spawn"), _open, (job,)) as pool:
        running: set[Future[Done]] = set()
        try:
            while True:
                running |= {
                    pool.submit(_answer_there, part) for part in islice(source, workers + _WAITING - len(running))
                }
                if not running:
                    return
                ready, running = wait(running, return_when=FIRST_COMPLETED)
                for future in ready:
                    yield future.result()
        except BrokenProcessPool:
            raise EngineError(
                "A process of --workers ended before its part was done: it ran out of memory, or was killed. Parts "
                "that are done are kept: run it again, with fewer workers if memory is short."
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _answer(pipe: Pipeline[Any, Any], job: BatchJob, part: Part) -> Iterator[Done]:
    records = []
    for row, result in answers(pipe, map(_opened, part.rows), job.options, goes_on=job.goes_on):
        failed = isinstance(result, OnnxpressError)
        name, value = (job.columns.error, str(result)) if failed else (job.columns.result, result)
        records.append({**(row.fields or {}), name: value})
        yield Done(1, 1, (value,)) if failed else Done(1)
    if len(records) != len(part.rows):
        raise EngineError(f"Part {part.number} has {len(part.rows)} rows, and {len(records)} answers. Report this.")
    form = form_of(job.parts.out)
    write_whole(job.parts.part(part.number), partial(_write, form.write, records, job.columns))


def _write(write: Callable[..., None], records: list[Any], columns: Columns, path: Any) -> None:
    write(path, records, columns)


def _opened(row: InputRow) -> InputRow:
    """A row that asks a file within a table, as datasets have them, asks its bytes, or else its path."""
    body = row.body
    if isinstance(body, Mapping) and set(body) == {"bytes", "path"}:
        return replace(row, body=body["bytes"] or body["path"] or "")
    return row


#: The pipeline and the job of this process, if it is a worker.
_worker: list[tuple[Pipeline[Any, Any], BatchJob]] = []


def _open(job: BatchJob) -> None:
    from onnxpress.pipelines import pipeline

    Thread(target=_end_with_parent, daemon=True).start()
    _worker.append((pipeline(job.task, job.model, **job.opened), job))


def _end_with_parent() -> None:
    """A parent that is killed closes no queue: its workers would wait for parts forever, the model in memory."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def _answer_there(part: Part) -> Done:
    pipe, job = _worker[0]
    reports = list(_answer(pipe, job, part))
    reasons = [reason for done in reports for reason in done.reasons]
    return Done(len(part.rows), sum(done.failures for done in reports), tuple(reasons[:TOLD]))
