"""audio-classification: the labels of a sound, best first."""

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
from onnxpress.pipelines.class_scores import FUNCTIONS, Classification, function_name
from onnxpress.pipelines.labels import answer_labels
from onnxpress.pipelines.sounds import SoundProcessor, WholeSoundOptions, call_sounds
from onnxpress.samples import Batch

#: By the kind of problem; a model with one label is none of regression here, as transformers has it for sounds.
_USUAL_FUNCTIONS = {"regression": "none", "multi_label_classification": "sigmoid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioClassificationOptions(WholeSoundOptions):
    """`top_k`: how many labels; None: all. `function_to_apply`: "sigmoid", "softmax" or "none" for the scores; None: by
    the problem type."""

    top_k: int | None = None
    function_to_apply: Any = None

    def __post_init__(self) -> None:
        WholeSoundOptions.__post_init__(self)
        if self.top_k is not None and (not isinstance(self.top_k, int) or self.top_k < 0):
            raise InputError(f"top_k is {self.top_k!r}; it must be a number of labels, or None for all.")
        if self.function_to_apply is not None:
            function_name(self.function_to_apply)


class AudioClassification(Pipeline[AudioClassificationOptions, SoundProcessor]):
    """`pipe(sound)` -> [{"score", "label"}, ...], best first; a list of sounds gives a list of these.

    A sound is a path, bytes, a file object, a data URI, an array at the model's rate, or {"array", "sampling_rate"}.
    """

    options_type = AudioClassificationOptions
    processor_type = SoundProcessor
    __call__ = call_sounds

    def prepare(self, item: Any, options: AudioClassificationOptions) -> Prepared[None]:
        return Prepared((self.processor.sample(item, options=options),), None)

    def reduce(self, batch: Batch, outputs: Outputs, options: AudioClassificationOptions) -> Sequence[NDArray[Any]]:
        usual = _USUAL_FUNCTIONS.get(self.manifest.postprocessing.problem_type or "", "softmax")
        apply = FUNCTIONS[usual if options.function_to_apply is None else function_name(options.function_to_apply)]
        return [np.array(apply(logits)) for logits in outputs[self.answer_name]]

    def finish(self, context: None, values: list[Any], options: AudioClassificationOptions) -> list[Classification]:
        scores, labels = values[0], answer_labels(self)
        count = len(scores) if options.top_k is None else options.top_k
        return [Classification(score=float(scores[i]), label=labels[i]) for i in top_k(scores, count)]
