"""A pipeline for Ray Data: `dataset.map_batches(Predictor, fn_constructor_kwargs={...})`.

Nothing of Ray is imported here, so that the class can be tried, and used by other engines, without it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.cli.answers import answers
from onnxpress.cli.results import plain
from onnxpress.cli.rows import InputRow, asked_of
from onnxpress.errors import InputError, OnnxpressError

if TYPE_CHECKING:
    from onnxpress.pipelines.base import Pipeline


class Predictor:
    """Answers batches of rows; all columns stay, and the answers are one more.

    A batch is what `batch_format` says: a pyarrow.Table, a pandas.DataFrame, or column names -> arrays. Only the
    arguments are pickled; the pipeline is opened by the first batch, in the process that has it.

    Args:
        model: a folder that every node has, or an id on the Hub.
        column: the column that is asked; of several, each row asks one object with these fields.
        task: None: the one that the artifact was exported for.
        result: the column of the answers. Vectors are float32 lists; else what the pipeline answers, as JSON's values.
        error: a column for the reasons of rows that cannot be answered; None: such a row ends the job.
        threads: None: as many as the CPUs that Ray gave the actor (`num_cpus`), else the cores of the process.
        options: arguments of each call, such as {"truncation": True}.
        opening: further arguments of `onnxpress.pipeline`: precision, revision, device, lock.
    """

    def __init__(
        self,
        model: str,
        column: str | Sequence[str],
        *,
        task: str | None = None,
        result: str = "result",
        error: str | None = None,
        threads: int | None = None,
        options: Mapping[str, Any] | None = None,
        **opening: Any,
    ) -> None:
        self.model = model
        self.columns = (column,) if isinstance(column, str) else tuple(column)
        self.task = task
        self.result = result
        self.error = error
        self.threads = threads
        self.options = dict(options or {})
        self.opening = opening
        self._pipe: Pipeline[Any, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pipe": None}

    @property
    def pipe(self) -> Pipeline[Any, Any]:
        """The pipeline of this process.

        Raises:
            OnnxpressError: it cannot be opened.
        """
        if self._pipe is None:
            from onnxpress.pipelines import pipeline

            threads = self.threads or _cpus_of_actor()
            self._pipe = pipeline(self.task, self.model, threads=threads, **self.opening)
        return self._pipe

    def __call__(self, batch: Any) -> Any:
        """The batch with its answers.

        Raises:
            InputError: it lacks a column that is asked, or has one that is to be written.
            OnnxpressError: of a row that cannot be answered, unless there is a column for errors.
        """
        names = [str(name) for name in (batch.column_names if hasattr(batch, "column_names") else batch)]
        self._check(names)
        columns = [_values(batch, name) for name in self.columns]
        results: list[Any] = []
        reasons: list[str | None] = []
        for answer in self._answers(columns):
            failed = isinstance(answer, OnnxpressError)
            results.append(None if failed else answer)
            reasons.append(str(answer) if failed else None)
        more = {self.result: results} | ({} if self.error is None else {self.error: reasons})
        return _with_columns(batch, more)

    def _check(self, names: Sequence[str]) -> None:
        for name in self.columns:
            if name not in names:
                raise InputError(f"A batch has no column {name!r}; it has {', '.join(names)}.")
        for written in (self.result, self.error):
            if written in names:
                raise InputError(f"A batch has a column {written!r} already: name another for the answers.")

    def _answers(self, columns: Sequence[Sequence[Any]]) -> Iterator[Any]:
        rows = (
            InputRow(f"Row {number} of a batch", asked_of(dict(zip(self.columns, values, strict=True)), self.columns))
            for number, values in enumerate(zip(*columns, strict=True))
        )
        for _, answer in answers(self.pipe, rows, self.options, goes_on=self.error is not None):
            yield answer


def _values(batch: Any, name: str) -> list[Any]:
    """A column as Python's values: a text is a text, and one that is missing is None."""
    column = batch[name]
    values: list[Any] = column.to_pylist() if hasattr(column, "to_pylist") else column.tolist()
    return values


def _with_columns(batch: Any, more: Mapping[str, list[Any]]) -> Any:
    """The batch, in its own form, with these columns after its own."""
    if hasattr(batch, "append_column"):  # pyarrow
        import pyarrow  # type: ignore[import-untyped,unused-ignore]

        for name, values in more.items():
            batch = batch.append_column(name, _arrow(pyarrow, values))
        return batch
    packed = {name: _array(values) for name, values in more.items()}
    if hasattr(batch, "assign"):  # pandas: one object a row
        return batch.assign(**{name: list(values) for name, values in packed.items()})
    return {**batch, **packed}


def _is_vector(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind == "f"


def _arrow(pyarrow: Any, values: Sequence[Any]) -> Any:
    """A column of Arrow: vectors as lists of float32, whatever the batch, so that all parts have one schema."""
    if any(map(_is_vector, values)) and all(value is None or _is_vector(value) for value in values):
        return pyarrow.array(values, pyarrow.list_(pyarrow.float32()))
    return pyarrow.array([plain(value) for value in values])


def _array(values: Sequence[Any]) -> Any:
    """A column of numpy: vectors of one length as (rows, length), else one object a row."""
    if values and all(map(_is_vector, values)) and len({value.shape for value in values}) == 1:
        return np.stack(values)
    objects = np.empty(len(values), object)
    for row, value in enumerate(values):  # at once, lists of one length would be taken for a second dimension
        objects[row] = plain(value)
    return objects


def _cpus_of_actor() -> int | None:
    """The CPUs that Ray gave this actor or task; None: this is none. The engine would count the host's."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    if context.get_task_id() is None and context.get_actor_id() is None:
        return None
    return max(1, int(context.get_assigned_resources().get("CPU", 1)))
