"""image-classification: the labels of a picture, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.math import top_k
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.class_scores import FUNCTIONS, Classification, chosen_function, function_name
from onnxpress.pipelines.labels import answer_labels
from onnxpress.pipelines.pictures import PictureOptions, PictureProcessor, call_pictures
from onnxpress.samples import Batch

#: How many labels are answered where the caller does not say.
_USUAL = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageClassificationOptions(PictureOptions):
    """`top_k`: how many labels, at most all; None is transformers' 5. `function_to_apply`: "sigmoid", "softmax" or
    "none" for the scores; None: by the problem type and the number of labels."""

    top_k: int | None = None
    function_to_apply: Any = None

    def __post_init__(self) -> None:
        PictureOptions.__post_init__(self)
        if self.top_k is not None and (not isinstance(self.top_k, int) or self.top_k < 0):
            raise InputError(f"top_k is {self.top_k!r}; it must be a number of labels.")
        if self.function_to_apply is not None:
            function_name(self.function_to_apply)


class ImageClassification(Pipeline[ImageClassificationOptions, PictureProcessor]):
    """`pipe(picture)` -> [{"label", "score"}, ...], best first; a list of pictures gives a list of these.

    A picture is a path, bytes, a file object, a data URI, a Pillow image or a uint8 array (height, width, channels).
    """

    options_type = ImageClassificationOptions
    processor_type = PictureProcessor
    __call__ = call_pictures

    def prepare(self, item: Any, options: ImageClassificationOptions) -> Prepared[None]:
        return Prepared((self.processor.read(item, options),), None)

    def reduce(self, batch: Batch, outputs: Outputs, options: ImageClassificationOptions) -> Sequence[NDArray[Any]]:
        apply = FUNCTIONS[chosen_function(options.function_to_apply, self.manifest.postprocessing)]
        return [np.array(apply(logits)) for logits in outputs[self.answer_name]]

    def finish(self, context: None, values: list[Any], options: ImageClassificationOptions) -> list[Classification]:
        scores, labels = values[0], answer_labels(self)
        count = _USUAL if options.top_k is None else options.top_k
        return [Classification(label=labels[i], score=float(scores[i])) for i in top_k(scores, count)]
