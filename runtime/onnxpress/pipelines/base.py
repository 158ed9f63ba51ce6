"""What every text pipeline shares: options, the shape of a call, and the way from rows to arrays.

A task subclasses `TextPipeline` once and writes three functions: `prepare` (input -> rows), `reduce` (a batch's
outputs -> one value per row; the default cuts off the padding) and `finish` (values -> result). This module knows
nothing of any one task.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError, InvalidManifest
from onnxpress.format.manifest import GraphInfo, TensorInfo
from onnxpress.format.processors import TokenizerSettings
from onnxpress.pipelines.batching import BUDGET_TOKENS, WINDOW_ROWS, Batch, Request, Row, checked, pad, run_rows, stream
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.text.tokenizer import Encoding, Strategy, Truncation

if TYPE_CHECKING:
    from tqdm import tqdm

Options = TypeVar("Options")
Outputs = Mapping[str, NDArray[Any]]

#: Seconds of work before a progress bar is drawn at all.
_BAR_DELAY_S = 2.0


@dataclass(frozen=True, slots=True)
class Common:
    """The arguments that every task takes.

    `batch_size`: at most so many rows in a batch; None: as many as are fast. `budget_tokens`: at most so many tokens in
    a batch, padding included; None: what suits the device. `progress`: draw a bar on stderr if a list or stream takes
    more than 2 s. `num_workers` is transformers' and has no meaning here.
    """

    batch_size: int | None = None
    budget_tokens: int | None = None
    progress: bool = False
    num_workers: Any = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "budget_tokens"):
            size = getattr(self, name)
            if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
                raise InputError(f"{name} must be a positive integer or None, not {size!r}.")


_COMMON = frozenset(field.name for field in fields(Common))


class TextPipeline(ABC, Generic[Options]):
    """A callable: preprocess -> batches -> session -> postprocess.

    Thread-safe, usable after a fork, picklable (the session reopens lazily). `close` frees the model's memory; the
    pipeline is also a context manager. Lists in, lists out; generators and datasets in, a lazy iterator out;
    anything else is one input.
    """

    options_type: type[Any]
    #: The field of the options that collects arguments of other names; None: there are no others.
    collects: ClassVar[str | None] = None
    #: What `Common` says unless a call does.
    usual: ClassVar[Common] = Common()
    #: Rows that are read ahead of the first result of a long stream, to be sorted by length.
    window_rows: ClassVar[int] = WINDOW_ROWS

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        self.task = model.task.name
        self.artifact = model.artifact
        self.session = model.session
        self.tokenizer = model.text_tokenizer()
        #: The variant that runs, and why it was chosen.
        self.choice = model.choice
        self.precision = model.choice.precision
        self.manifest = model.artifact.manifest
        self._budget_tokens = BUDGET_TOKENS[model.session.device.partition(":")[0]]
        self._common = _pop_common(self.usual, call := dict(options))
        self.options: Options = self._options(self.options_type(), call)

    # What a task writes.

    @abstractmethod
    def prepare(self, item: Any, options: Options) -> Request[Any]:
        """The rows that one input becomes.

        Raises:
            InputError: not an input of this task, or too long for the model.
        """

    @abstractmethod
    def finish(self, context: Any, values: list[Any], options: Options) -> Any:
        """The result of one input, of its request's context and the values of its rows."""

    def reduce(self, batch: Batch, outputs: Outputs, options: Options) -> Sequence[Any]:
        """One value per row: by default, every output of the graph without its padding, copied out of the batch."""
        return [self._row(batch, outputs, index) for index in range(len(batch.rows))]

    def collect(self, results: Iterator[Any], count: int, options: Options) -> Any:
        """What a list of `count` inputs gives: by default, the list of their results."""
        return list(results)

    # What all share.

    def __call__(self, inputs: Any, **options: Any) -> Any:
        common = _pop_common(self._common, options)
        chosen = self._options(self.options, options) if options else self.options
        if is_stream(inputs):
            return self._stream(inputs, chosen, common)
        if isinstance(inputs, (list, tuple)):
            return self.collect(self._stream(inputs, chosen, common, window=len(inputs)), len(inputs), chosen)
        return self._one(inputs, chosen, common)

    def _one(self, item: Any, options: Options, common: Common) -> Any:
        """What a stream of this one input would give, without the windows, which cost as much as a small layer."""
        request = checked(self.prepare(item, options))
        if len(request.rows) == 1:
            values = list(self.compute(request.rows, options))
        else:
            values = run_rows(
                request.rows,
                lambda rows: self.compute(rows, options),
                budget_tokens=common.budget_tokens or self._budget_tokens,
                max_rows=common.batch_size,
                padding=self.manifest.padding,
            )
        return self.finish(request.context, values, options)

    def _stream(
        self,
        inputs: Any,
        options: Options,
        common: Common,
        window: int | None = None,
    ) -> Iterator[Any]:
        def results(report: Callable[[int], None]) -> Iterator[Any]:
            return stream(
                _items(inputs),
                lambda item: self.prepare(item, options),
                lambda rows: self.compute(rows, options),
                lambda context, values: self.finish(context, values, options),
                budget_tokens=common.budget_tokens or self._budget_tokens,
                max_rows=common.batch_size,
                padding=self.manifest.padding,
                first_window_rows=window or 1,
                window_rows=self.window_rows,
                report=report,
            )

        if not common.progress:
            return results(lambda done: None)
        return _watched(results, self.task, len(inputs) if hasattr(inputs, "__len__") else None)

    def compute(self, rows: Sequence[Row], options: Options) -> Sequence[Any]:
        """One batch: rows -> one value per row, as `finish` takes them."""
        settings = self.tokenizer_settings
        batch = pad(
            rows,
            names=[tensor.name for tensor in self._graph.inputs],
            pad_id=settings.pad_token_id,
            pad_type_id=settings.pad_token_type_id,
            side=settings.padding_side,
        )
        return self.reduce(batch, self.session.run(batch.arrays), options)

    def _row(self, batch: Batch, outputs: Outputs, index: int) -> dict[str, NDArray[Any]]:
        span = batch.span(index)
        return {
            tensor.name: np.array(outputs[tensor.name][index][span if _by_token(tensor) else ...])
            for tensor in self._graph.outputs
        }

    @property
    def _graph(self) -> GraphInfo:
        return self.manifest.graphs["model"]

    @property
    def tokenizer_settings(self) -> TokenizerSettings:
        """The artifact's tokenizer settings."""
        return self.tokenizer.settings

    def limit(self, max_length: int | None = None) -> int | None:
        """The longest row in tokens: the model's limit, or `max_length` if that is smaller. None: no limit."""
        limits = [n for n in (self.tokenizer_settings.max_length, max_length) if n is not None]
        return min(limits, default=None)

    def truncation(
        self, strategy: Strategy = "longest_first", max_length: int | None = None, stride: int = 0
    ) -> Truncation | None:
        """Truncation to the limit of the model; None if it has none."""
        limit = self.limit(max_length)
        return None if limit is None else Truncation(limit, strategy, stride)

    def row(self, encoding: Encoding, context: Any = None) -> Row:
        """A row of an encoding, refused if the model cannot take it.

        Raises:
            InputError: more tokens than the model's limit.
        """
        ids = encoding.ids
        limit = self.tokenizer_settings.max_length
        if limit is not None and len(ids) > limit:
            raise InputError(
                f"The text has {len(ids)} tokens, the model takes at most {limit}. Pass truncation=True to cut it, or "
                "split it."
            )
        return Row(ids, encoding.type_ids, context)

    def labels(self) -> tuple[str, ...]:
        """The names of the classes.

        Raises:
            InvalidManifest: the artifact has none, or not as many as the graph has outputs.
        """
        labels = self.manifest.postprocessing.labels
        width = self._graph.outputs[0].axes[-1]
        if not labels or (isinstance(width, int) and width != len(labels)):
            raise InvalidManifest(
                f"{self.artifact.folder}: {len(labels)} labels, but the graph returns {width} scores. Export again."
            )
        return labels

    def close(self) -> None:
        """Free the model's memory. The pipeline cannot be called again."""
        self.session.close()

    def __enter__(self) -> TextPipeline[Options]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _options(self, base: Any, changes: Mapping[str, Any]) -> Any:
        known = {field.name for field in fields(base)}
        unknown = sorted(set(changes) - known)
        if unknown and self.collects:
            given = {name: value for name, value in changes.items() if name in known}
            more = {name: changes[name] for name in unknown}
            return replace(base, **given | {self.collects: {**getattr(base, self.collects), **more}})
        if unknown:
            raise InputError(
                f"{self.task} has no argument {unknown[0]!r}. It takes: {', '.join(sorted(known | _COMMON))}."
            )
        return replace(base, **changes) if changes else base


def _pop_common(base: Common, options: dict[str, Any]) -> Common:
    """Take the common arguments out of `options`."""
    if not options:
        return base
    return replace(base, **{name: options.pop(name) for name in _COMMON & set(options)})


def _watched(
    results: Callable[[Callable[[int], None]], Iterator[Any]], description: str, total: int | None
) -> Iterator[Any]:
    """The results, with a bar on stderr that is closed however the iteration ends."""
    from tqdm import tqdm

    bar: tqdm[Any]
    with tqdm(total=total, desc=description, unit=" inputs", delay=_BAR_DELAY_S, miniters=1) as bar:
        yield from results(lambda done: _advance(bar, done))


def _advance(bar: tqdm[Any], done: int) -> None:
    bar.update(done - bar.n)


def is_stream(inputs: object) -> bool:
    """Whether inputs come lazily: an iterator, or a dataset (iterable, but neither text, list, tuple nor mapping)."""
    if isinstance(inputs, (str, bytes, list, tuple, Mapping)):
        return False
    return isinstance(inputs, Iterable) or hasattr(inputs, "__getitem__")


def _items(inputs: Any) -> Iterable[Any]:
    """A dataset that has a length and items but no iterator is read by index; its length ends it, not an IndexError."""
    if hasattr(inputs, "__iter__") or not hasattr(inputs, "__len__"):
        return inputs  # type: ignore[no-any-return]
    return (inputs[index] for index in range(len(inputs)))


def _by_token(tensor: TensorInfo) -> bool:
    return len(tensor.axes) > 1 and tensor.axes[1] == "sequence"
