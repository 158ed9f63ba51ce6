"""The flow of zero-shot tasks whose models have a graph for texts and one for something else, a picture or a sound: any
labels, by how near the one's vector is to that of a sentence with each of them.

A task adds what its inputs are called and how they are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from onnxpress.errors import OnnxpressError
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.candidates import check_labels
from onnxpress.pipelines.class_scores import Classification
from onnxpress.pipelines.compared import ComparedTexts, Vectors, stacked, unit_vectors
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.samples import Batch, Processor, Sample


class NamesLabels(Protocol):
    """Options of a call that names labels."""

    @property
    def candidate_labels(self) -> Any: ...

    def hypotheses(self) -> list[str]:
        """The sentence of each label."""


class Reads(Processor, Protocol):
    """A processor of inputs that have options of their own."""

    def read(self, raw: Any, options: Any) -> Sample:
        """One input as a sample, as the options of its call say."""


Labels = TypeVar("Labels", bound=NamesLabels)
Reader = TypeVar("Reader", bound=Reads)


class Embedder(Pipeline[Any, Any]):
    """`embedder(input)` -> float32 (dimensions,), of length 1. A modality sets its types and its role."""

    def prepare(self, item: Any, options: Any) -> Prepared[None]:
        return Prepared((self.processor.read(item, options),), None)

    def reduce(self, batch: Batch, outputs: Outputs, options: Any) -> Sequence[Vectors]:
        return unit_vectors(self, outputs)

    def finish(self, context: None, values: list[Any], options: Any) -> Vectors:
        return np.asarray(values[0])


class ZeroShotByVectors(Pipeline[Labels, Reader]):
    """`pipe(input, labels)` -> [{"score", "label"}, ...] of all labels, best first; of a list of inputs, a list. The
    labels' vectors are computed once: those of the texts that were asked for last are remembered."""

    #: What gives the vectors of inputs that are beside no labels.
    embedder_type: ClassVar[type[Embedder]]

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        super().__init__(model, options)
        self._texts = ComparedTexts(model)

    def embed_texts(self, texts: Any, *, truncation: bool = False) -> Vectors:
        """float32 (texts, dimensions): transformers' `get_text_features`, each divided by its length.

        Args:
            texts: one or several, as they are: `hypothesis_template` has no part in it.
            truncation: cut texts that are longer than the model takes, which are refused otherwise.

        Raises:
            InputError: one is no text, or too long.
        """
        return self._texts.embed(texts, truncation=truncation)

    def check(self, options: Labels) -> None:
        check_labels(options.candidate_labels)

    def prepare_many(self, items: Sequence[Any], options: Labels) -> Sequence[Prepared[Any] | OnnxpressError]:
        self.check(options)
        self._texts.of_hypotheses(options.hypotheses())  # once, and not in each thread
        return super().prepare_many(items, options)

    def prepare(self, item: Any, options: Labels) -> Prepared[Vectors]:
        self.check(options)
        labels = self._texts.of_hypotheses(options.hypotheses())
        return Prepared((self.processor.read(item, options),), labels)

    def reduce(self, batch: Batch, outputs: Outputs, options: Labels) -> Sequence[Vectors]:
        return unit_vectors(self, outputs)

    def finish(self, context: Vectors, values: list[Any], options: Labels) -> list[Classification]:
        return self._texts.classified(context, values[0], options.candidate_labels)

    def _ask(self, inputs: Any, labels: Any, options: dict[str, Any]) -> Any:
        """A call: labels that it does not name are those that the pipeline was opened with."""
        return Pipeline.__call__(self, inputs, **options, **({} if labels is None else {"candidate_labels": labels}))

    def _embed(self, inputs: Any, options: dict[str, Any]) -> Vectors:
        """float32 (inputs, dimensions), each of length 1, of one input or of several in any form that a call takes."""
        return stacked(self._embedder(inputs, **options), self)

    @cached_property
    def _embedder(self) -> Embedder:
        return self.embedder_type(self.loaded, {})
