"""What every pipeline shares: options, the shape of a call, and the way from samples to values.

A task subclasses `Pipeline` once and writes three functions: `prepare` (input -> samples), `reduce` (a batch's outputs
-> one value per sample; the default cuts off the padding) and `finish` (values -> result). Its modality is a
processor, which makes samples and has the collator that makes batches of them. This module knows nothing of any one
task or modality.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from numpy.typing import NDArray

from onnxpress.engine.helpers import side_by_side
from onnxpress.engine.providers import provider_of
from onnxpress.engine.stopping import within
from onnxpress.errors import ArtifactError, InputError, OnnxpressError
from onnxpress.pipelines.arguments import Table, translate, unknown_argument
from onnxpress.pipelines.batching import Limits, Prepared, budget_of, run_samples
from onnxpress.pipelines.collators import ANY_SIZE, SEQUENCES, size_of
from onnxpress.pipelines.common import COMMON, Common, check_truths, pop_common
from onnxpress.pipelines.inputs import is_stream, items_of, listed
from onnxpress.pipelines.known_names import OF_PIPELINES, Names, absent
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.progress import watched
from onnxpress.pipelines.streaming import WINDOW_COST, WINDOW_SAMPLES, Windows, Work, stream
from onnxpress.samples import Batch, Processor, ReadsSideBySide, Sample
from onnxpress.suggestions import nearest

if TYPE_CHECKING:
    from onnxpress.format.model import Adopted
    from onnxpress.pipelines.graph_model import GraphModel

Options = TypeVar("Options")
P = TypeVar("P", bound=Processor)
Outputs = Mapping[str, NDArray[Any]]


#: Roles of graphs that the samples of a task go to in batches.
_READERS = ("encoder", "vision")


class Pipeline(ABC, Generic[Options, P]):
    """A callable: processor -> batches -> session -> result.

    Thread-safe, usable after a fork, picklable (the session reopens lazily). `close` frees the model's memory; the
    pipeline is also a context manager. Lists, columns and arrays of texts in, lists out; generators and datasets in, a
    lazy iterator out; anything else, an array of numbers or a picture too, is one input.
    """

    options_type: type[Any]
    #: The class of the processor; it is called with a `LoadedModel`.
    processor_type: type[Any]
    #: The role of the graph that computes a batch.
    role: ClassVar[str] = "encoder"
    #: The field of the options that collects arguments of other names; None: there are no others.
    collects: ClassVar[str | None] = None
    #: The names that the field is meant for.
    collected: ClassVar[Collection[str]] = ()
    #: What other libraries' arguments of a call mean here.
    arguments: ClassVar[Table] = {}
    #: Names of other libraries that the pipeline has not, beside those of all pipelines, and what is in their place.
    absent: ClassVar[Names] = {}
    #: Samples in a batch unless a call says otherwise; None: as many as its cost allows.
    rows: ClassVar[int | None] = None
    #: Samples that are read ahead of the first result of a long stream, to be sorted by cost.
    window: ClassVar[int] = WINDOW_SAMPLES
    #: The cost of a batch, unless a call says another; None: what suits the device.
    budget: ClassVar[int | None] = None

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        #: What the pipeline is built on; another pipeline may be built on it, too.
        self.loaded = model
        self.task = model.task.name
        self.artifact = model.artifact
        self.manifest = model.artifact.manifest
        if (reason := model.task.refuses(self.manifest)) is not None:
            raise ArtifactError(f"{self.artifact.folder}: {reason}")
        self.session = model.session
        #: The variant that runs, and why it was chosen.
        self.choice = model.choice
        self.precision = model.choice.precision
        self.graph_name = self.manifest.graph_name(self.role)
        self.graph = self.manifest.graphs[self.graph_name]
        self.processor: P = self.processor_type(model)
        self._size = size_of(self.graph.inputs[0]) if self.role in _READERS else ANY_SIZE
        usual = self.budget or provider_of(model.session.device).budget_tokens
        self._budget = budget_of(usual, self.graph.outputs if self.role == "encoder" else (), SEQUENCES)
        self._common = pop_common(Common(), call := self._translated(options))
        self.options: Options = self._options(self.options_type(), call)

    # What a task writes.

    @abstractmethod
    def prepare(self, item: Any, options: Options) -> Prepared[Any]:
        """The samples that one input becomes.

        Raises:
            InputError: not an input of this task, or too long for the model.
        """

    @abstractmethod
    def finish(self, context: Any, values: list[Any], options: Options) -> Any:
        """The result of one input, of its request's context and the values of its samples."""

    def check(self, options: Options) -> None:
        """Refuse options with which no input can be answered, before any is read.

        Raises:
            InputError: which.
        """

    def prepare_many(self, items: Sequence[Any], options: Options) -> Sequence[Prepared[Any] | OnnxpressError]:
        """What `prepare` gives for each of several inputs, or why it gives nothing, for a task that is quicker with
        them together. An error that is raised is of no account: they are then prepared one after the other."""
        calls = [partial(self._attempt, item, options) for item in items]
        return side_by_side(calls, self.session.used_threads)

    def _attempt(self, item: Any, options: Options) -> Prepared[Any] | OnnxpressError:
        try:
            return self.prepare(item, options)
        except OnnxpressError as error:
            if not error.of_input:
                raise
            return error

    def foresee(self, item: Any, options: Options) -> int | None:
        """The most that an input may cost, if `prepare_many` is to have it together with others and it becomes one
        sample; None: it is prepared alone. It may be no input of this task."""
        return self.processor.foreseen if isinstance(self.processor, ReadsSideBySide) else None

    def reduce(self, batch: Batch, outputs: Outputs, options: Options) -> Sequence[Any]:
        """One value per sample: by default, every output of the graph without its padding, copied out of the batch."""
        return [
            {tensor.name: batch.own(index, outputs[tensor.name], tensor.axes) for tensor in self.graph.outputs}
            for index in range(len(batch.samples))
        ]

    def collect(self, results: Iterator[Any], count: int, options: Options) -> Any:
        """What a list of `count` inputs gives: by default, the list of their results."""
        return list(results)

    # What all share.

    @cached_property
    def model(self) -> GraphModel:
        """The model as a function of arrays, as `onnxpress.load` opens it; `pipe.model.config` is the checkpoint's."""
        from onnxpress.pipelines.graph_model import GraphModel

        return GraphModel(replace(self.loaded, owned=False))

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, under transformers' names; None where the task's inputs are no texts."""
        return self.model.tokenizer

    @property
    def adopted(self) -> Adopted | None:
        """How another tool's files were understood, fact by fact; None: the model is an artifact of ours."""
        return self.artifact.adopted

    @property
    def answer_name(self) -> str:
        """The output of the graph that holds the answers; the manifest names it first."""
        return self.graph.outputs[0].name

    @property
    def device(self) -> str:
        """Where the model runs: "cpu", "cuda:0"."""
        return self.session.device

    def save_pretrained(self, save_directory: str | Path) -> Path:
        """Copy the artifact, every variant of it, to a folder that is not there yet."""
        return self.model.save_pretrained(save_directory)

    def device_placement(self) -> AbstractContextManager[None]:
        """transformers' name: nothing is to be placed, the model is on its device."""
        return nullcontext()

    if not TYPE_CHECKING:  # type checkers refuse such names themselves

        def __getattr__(self, name: str) -> Any:
            """Asked for names only that are not there: tell what is in their place."""
            raise absent(f"This {type(self).__name__}", name, {**OF_PIPELINES, **type(self).absent})

    def __repr__(self) -> str:
        from onnxpress.pipelines.graph_model import described

        return described(self.loaded, type(self).__name__)

    def __call__(self, inputs: Any, **options: Any) -> Any:
        chosen, common = self._arguments(options)
        inputs = listed(inputs)
        if is_stream(inputs):
            self.check(chosen)
            return self._stream(inputs, chosen, common)
        if isinstance(inputs, (list, tuple)):
            self.check(chosen)
            return self._answer_all(inputs, chosen, common)
        try:
            with within(common.stop):
                return self._answer(inputs, chosen, common)
        except OnnxpressError as error:
            if common.on_error == "raise" or not error.of_input:
                raise
            return error

    def asked(self, options: Mapping[str, Any]) -> tuple[Options, Limits]:
        """The options of a call (of one without any they are found once), and what a batch of it may hold: for who
        computes samples of several calls together.

        Raises:
            InputError: no such option, or one with which no input can be answered.
        """
        return self._checked(options) if options else self._usual_call

    @cached_property
    def _usual_call(self) -> tuple[Options, Limits]:
        return self._checked({})

    def _checked(self, options: Mapping[str, Any]) -> tuple[Options, Limits]:
        chosen, common = self._arguments(dict(options))
        self.check(chosen)
        return chosen, self._limits(common)

    def compute(self, samples: Sequence[Sample], options: Options) -> Sequence[Any]:
        """One batch: samples -> one value per sample, as `finish` takes them."""
        batch = self.processor.collator.collate(samples)
        outputs = self.session.run(batch.arrays, graph=self.graph_name)
        return self.reduce(batch, self._trimmed(batch, outputs), options)

    def _trimmed(self, batch: Batch, outputs: Outputs) -> Outputs:
        """Of a graph with a fixed size of batches, the outputs of the samples and of their longest."""
        if self._size == ANY_SIZE:
            return outputs
        longest = max((span.stop for span in batch.spans), default=None)
        return {
            tensor.name: outputs[tensor.name][
                (
                    slice(len(batch.samples)),
                    *(slice(longest if axis == batch.padded_axis else None) for axis in tensor.axes[1:]),
                )
            ]
            for tensor in self.graph.outputs
        }

    def _arguments(self, options: dict[str, Any]) -> tuple[Options, Common]:
        """The arguments of a call: those of the task, and those of every call."""
        options = self._translated(options)
        common = pop_common(self._common, options)
        return self._options(self.options, options) if options else self.options, common

    def _answer(self, item: Any, options: Options, common: Common) -> Any:
        """What a stream of this one input would give, without the windows, which cost as much as a small layer."""
        request = self.prepare(item, options)
        if len(request.samples) == 1:
            values = list(self.compute(request.samples, options))
        else:
            values = run_samples(request.samples, lambda batch: self.compute(batch, options), self._limits(common))
        return self.finish(request.context, values, options)

    def _answer_all(self, inputs: Sequence[Any], options: Options, common: Common) -> Any:
        results = self._stream(inputs, options, common)
        if common.on_error == "return":
            results = iter(answers := list(results))
            if any(isinstance(answer, OnnxpressError) for answer in answers):
                return answers
        return self.collect(results, len(inputs), options)

    def _stream(self, inputs: Any, options: Options, common: Common) -> Iterator[Any]:
        stop, at_once = common.stop, isinstance(inputs, (list, tuple))

        def prepare(item: Any) -> Prepared[Any]:
            with within(stop):
                return self.prepare(item, options)

        def prepare_many(items: Sequence[Any]) -> Sequence[Prepared[Any] | OnnxpressError]:
            with within(stop):
                return self.prepare_many(items, options)

        def compute(samples: Sequence[Sample]) -> Sequence[Any]:
            with within(stop):
                return self.compute(samples, options)

        work: Work[Any, Any, Any] = Work(
            prepare,
            compute,
            lambda context, values: self.finish(context, values, options),
            prepare_many,
            lambda item: self.foresee(item, options),
        )

        def results(report: Callable[[int], None]) -> Iterator[Any]:
            return stream(
                items_of(inputs),
                work,
                self._limits(common),
                self._windows(inputs, common),
                on_error=common.on_error,
                hurries=at_once,
                begin=lambda: stop.restart() if stop is not None and not at_once else None,
                report=report,
            )

        if not common.progress:
            return results(lambda done: None)
        return watched(results, self.task, len(inputs) if hasattr(inputs, "__len__") else None)

    def _windows(self, inputs: Any, common: Common) -> Windows:
        """How far inputs are read ahead of the results."""
        if common.batch_size == 1:
            return Windows(1, 1)
        if isinstance(inputs, (list, tuple)):
            return Windows(len(inputs), self.window)
        if common.read_ahead is not None:
            return Windows(1, common.read_ahead)
        if hasattr(inputs, "__len__"):
            return Windows(1, self.window)
        if common.batch_size is None and common.budget_tokens is None:
            return Windows(1, 1)
        most = common.batch_size or self.window
        return Windows(most, most, min(common.budget_tokens or WINDOW_COST, WINDOW_COST))

    def _limits(self, common: Common) -> Limits:
        """What a batch of a call may hold."""
        most = min((n for n in (common.batch_size or self.rows, self._size.rows) if n is not None), default=None)
        return Limits(common.budget_tokens or self._budget, most, self.processor.collator.key)

    def _refuse_misspelt(self, names: Sequence[str], known: Collection[str]) -> None:
        """Refuse names that are collected, but are nearly one of ours: they would be looked for among the settings."""
        from onnxpress.pipelines.known_arguments import FACTORY, OURS

        for name in names:
            misspelt = name not in self.collected and nearest(name, [*self.collected, *known, *OURS]) in {*known, *OURS}
            if misspelt or (name in {*OURS, *FACTORY} and name not in self.collected):
                raise self._unknown(name, known)

    def _unknown(self, name: str, known: Collection[str]) -> InputError:
        from onnxpress.pipelines.known_arguments import FACTORY, OURS

        of_factory = f"it is one of onnxpress.pipeline(...), where the model is opened: pass {name} there."
        meant = nearest(name, OURS)
        return unknown_argument(self.task, name, {*known, *([meant] if meant else ())}, {of_factory: (*OURS, *FACTORY)})

    def warm(self) -> None:
        """Open the model in this process now, and not in the first call: of use in a process that was forked.

        Raises:
            SessionClosed: the pipeline was closed.
        """
        self.session.warm()

    @property
    def ready(self) -> bool:
        """Whether the model is open in this process: until the pipeline is closed, or the process forks."""
        return self.session.ready

    def close(self) -> None:
        """Free the model's memory, unless another pipeline has it open. The pipeline cannot be called again."""
        self.loaded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _translated(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of a call with other libraries' names made ours."""
        ours = {field.name for field in fields(self.options_type)} if self.arguments else set()
        return translate(options, {name: row for name, row in self.arguments.items() if name not in ours})

    def _options(self, base: Any, changes: Mapping[str, Any]) -> Any:
        """`base` with the arguments of a call.

        Raises:
            InputError: the task has no such argument, or a value that it cannot have.
        """
        known = {field.name for field in fields(base)}
        if changes.get("tokenizer") is not None:  # for stop_strings, as transformers' generate takes it
            from onnxpress.pipelines.sameness import check_tokenizer

            check_tokenizer(self.artifact, self.loaded.tokenizer, changes["tokenizer"])
        changes = {name: value for name, value in changes.items() if name != "tokenizer"}
        changes = self._translated(changes)
        check_truths(base, changes)
        unknown = sorted(set(changes) - known)
        if unknown and self.collects:
            self._refuse_misspelt(unknown, known | COMMON)
            collected = {**getattr(base, self.collects), **{name: changes[name] for name in unknown}}
            named = {name: value for name, value in changes.items() if name in known}
            return replace(base, **named | {self.collects: collected})
        if unknown:
            raise self._unknown(unknown[0], known | COMMON)
        return replace(base, **changes) if changes else base
