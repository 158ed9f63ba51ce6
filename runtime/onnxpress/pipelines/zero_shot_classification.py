"""zero-shot-classification: any labels, by asking an NLI model whether the text entails a sentence with the label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, overload

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.math import softmax
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.candidates import check_labels, hypotheses_of, labels_of
from onnxpress.pipelines.inputs import Texts
from onnxpress.pipelines.known_arguments import OF_LABELS
from onnxpress.pipelines.labels import class_labels
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.suitable import entailment
from onnxpress.pipelines.text_processor import TextProcessor
from onnxpress.samples import Batch, Sample


class ZeroShot(TypedDict):
    """`labels`, as the call has them, and their `scores`, best first."""

    sequence: str
    labels: list[Any]
    scores: list[float]


@dataclass(frozen=True, slots=True)
class ZeroShotOptions:
    """`candidate_labels`: strings or numbers, or one string with commas between them (kept as a tuple).
    `hypothesis_template`: a sentence with {} where the label goes. `multi_label`: judge each label alone; otherwise all
    scores sum to 1."""

    candidate_labels: Any = ()
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "candidate_labels", labels_of(self.candidate_labels))
        self.hypotheses()

    def hypotheses(self) -> list[str]:
        """The template with each label.

        Raises:
            InputError: as of `hypotheses_of`.
        """
        return hypotheses_of(self.hypothesis_template, self.candidate_labels, "This text is about {}.")


class ZeroShotClassification(Pipeline[ZeroShotOptions, TextProcessor]):
    """`pipe(text, labels)`, or a list of texts. A text too long for the model is cut, the hypothesis never.

    Raises:
        ArtifactError: no label of the model starts with "entail".
    """

    options_type = ZeroShotOptions
    processor_type = TextProcessor
    arguments = OF_LABELS

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        super().__init__(model, options)
        self._entailment = self._entailment_id()

    @overload  # type: ignore[override]  # `inputs` is `sequences` in transformers
    def __call__(self, sequences: Any, *labels: Any, on_error: Literal["return"], **options: Any) -> Any: ...
    @overload
    def __call__(self, sequences: str, *labels: Any, **options: Any) -> ZeroShot: ...
    @overload
    def __call__(self, sequences: Texts, *labels: Any, **options: Any) -> list[ZeroShot]: ...
    @overload
    def __call__(self, sequences: Any, *labels: Any, **options: Any) -> Any: ...
    def __call__(self, sequences: Any, *labels: Any, **options: Any) -> Any:
        if len(labels) > 1 or (labels and "candidate_labels" in options):
            raise InputError("Pass the labels once: pipe(text, labels) or pipe(text, candidate_labels=labels).")
        if labels:
            options["candidate_labels"] = labels[0]
        return super().__call__(sequences, **options)

    def check(self, options: ZeroShotOptions) -> None:
        check_labels(options.candidate_labels)

    def prepare(self, item: Any, options: ZeroShotOptions) -> Prepared[str]:
        if not isinstance(item, str) or not item:
            raise InputError(f"Expected a text that is not empty, got {type(item).__name__} {item!r:.60}.")
        self.check(options)
        return Prepared(tuple(self._samples(item, options.hypotheses())), item)

    def reduce(self, batch: Batch, outputs: Outputs, options: ZeroShotOptions) -> list[NDArray[Any]]:
        return [np.array(logits) for logits in outputs[self.answer_name]]

    def finish(self, context: str, values: list[Any], options: ZeroShotOptions) -> ZeroShot:
        labels, logits = options.candidate_labels, np.stack(values)
        if options.multi_label or len(labels) == 1:
            contradiction = -1 if self._entailment == 0 else 0
            scores = softmax(logits[:, [contradiction, self._entailment]])[:, 1]
        else:
            scores = softmax(logits[:, self._entailment])
        order = np.argsort(scores, kind="stable")[::-1]
        return ZeroShot(sequence=context, labels=[labels[i] for i in order], scores=scores[order].tolist())

    def _samples(self, text: str, hypotheses: Sequence[str]) -> Iterator[Sample]:
        """The text with each of the hypotheses.

        Raises:
            InputError: the model cannot take the text with a hypothesis, which is named.
        """
        truncation = self.processor.truncation("only_first")
        encodings = self.processor.encodings([text] * len(hypotheses), hypotheses, truncation=truncation)
        for hypothesis in hypotheses:
            try:
                yield self.processor.sample_of(next(encodings))
            except InputError as error:
                raise InputError(f"The text and the hypothesis {hypothesis!r:.60}: {error}") from None

    def _entailment_id(self) -> int:
        class_labels(self)  # as many as the graph has scores
        place = entailment(self.manifest.postprocessing)
        assert place is not None, "a model without one is refused"
        return place
