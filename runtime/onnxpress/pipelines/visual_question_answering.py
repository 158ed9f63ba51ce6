"""visual-question-answering: the answers to a question about a picture, best first, in the schema of transformers 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.math import sigmoid, top_k
from onnxpress.pipelines.asked_pictures import AskedProcessor, image_and_question, paired
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.labels import answer_labels
from onnxpress.pipelines.pictures import PictureOptions
from onnxpress.pipelines.text_processor import strategy
from onnxpress.samples import Batch


class ScoredAnswer(TypedDict):
    """Each answer has a score of its own: they do not add up to 1."""

    score: float
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualQuestionAnsweringOptions(PictureOptions):
    """`top_k`: how many answers, at most all. `truncation`: whether a question that is longer than the model takes is
    cut, and not refused. `padding`, of transformers, has no effect: answers do not depend on it."""

    top_k: int = 5
    truncation: Any = None
    padding: Any = None

    def __post_init__(self) -> None:
        PictureOptions.__post_init__(self)
        if not isinstance(self.top_k, int) or isinstance(self.top_k, bool) or self.top_k < 1:
            raise InputError(f"top_k is {self.top_k!r}; it must be a positive number of answers.")
        strategy(self.truncation)


class VisualQuestionAnswering(Pipeline[VisualQuestionAnsweringOptions, AskedProcessor]):
    """`pipe(image=..., question="Who?")` -> [{"score", "answer"}, ...], best first.

    A list or a stream has `{"image": ..., "question": ...}`; a list of pictures, of questions, or both asks every
    question about every picture.
    """

    options_type = VisualQuestionAnsweringOptions
    processor_type = AskedProcessor

    def __call__(  # type: ignore[override]  # `inputs` is `image` here
        self, image: Any = None, question: Any = None, **options: Any
    ) -> Any:
        return super().__call__(paired(image, question), **options)

    def prepare(self, item: Any, options: VisualQuestionAnsweringOptions) -> Prepared[None]:
        image, question = image_and_question(item, self.task)
        return Prepared((self.processor.asked(image, question, options, options.truncation),), None)

    def reduce(self, batch: Batch, outputs: Outputs, options: VisualQuestionAnsweringOptions) -> Sequence[NDArray[Any]]:
        return [np.array(sigmoid(logits)) for logits in outputs[self.answer_name]]

    def finish(self, context: None, values: list[Any], options: VisualQuestionAnsweringOptions) -> list[ScoredAnswer]:
        scores, labels = values[0], answer_labels(self)
        return [
            ScoredAnswer(score=float(scores[place]), answer=labels[place]) for place in top_k(scores, options.top_k)
        ]
