"""text-classification: one label or several, regression, and pairs of texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from onnxpress.arrays import sigmoid, softmax, top_k
from onnxpress.batching import Batch, Request
from onnxpress.errors import InputError
from onnxpress.tasks.base import Outputs, TextPipeline

FUNCTIONS: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "sigmoid": sigmoid,
    "softmax": softmax,
    "none": lambda scores: scores,
}


class Classification(TypedDict):
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Options:
    """`top_k`: an integer, or None for all labels; "" (the default) gives the best alone, not in a list."""

    top_k: int | str | None = ""
    function_to_apply: str | None = None
    truncation: bool = False
    max_length: int | None = None
    padding: bool | str = True


class TextClassification(TextPipeline[Options]):
    """`pipe(text)`, `pipe({"text": ..., "text_pair": ...})` or lists of these."""

    task = "text-classification"
    options_type = Options

    def __call__(self, inputs: Any, **options: Any) -> Any:
        result = super().__call__(inputs, **options)
        # As transformers: a single text gives a list, unless `top_k` was passed in this very call.
        return [result] if isinstance(inputs, str) and "top_k" not in options else result

    def prepare(self, item: Any, options: Options) -> Request[None]:
        text, pair = _texts(item)
        truncation = self.truncation(max_length=options.max_length) if options.truncation else None
        return Request((self.row(self.tokenizer.encode(text, pair, truncation=truncation)),), None)

    def reduce(self, batch: Batch, outputs: Outputs, options: Options) -> list[NDArray[Any]]:
        apply = FUNCTIONS[self._function(options)]
        return [np.array(apply(logits)) for logits in outputs["logits"]]

    def finish(self, context: None, values: list[Any], options: Options) -> Any:
        scores, labels = values[0], self.labels()
        if options.top_k == "":
            best = int(scores.argmax())
            return Classification(label=labels[best], score=float(scores[best]))
        count = len(labels) if options.top_k is None else int(options.top_k)
        return [Classification(label=labels[i], score=float(scores[i])) for i in top_k(scores, count)]

    def _function(self, options: Options) -> str:
        """transformers' order: the argument, the problem type, the number of labels."""
        settings = self.manifest.postprocessing
        name = options.function_to_apply
        if name is None:
            if settings.problem_type == "regression":
                return "none"
            multi = settings.problem_type == "multi_label_classification"
            return "sigmoid" if multi or len(settings.labels) == 1 else "softmax"
        if name.lower() not in FUNCTIONS:
            raise InputError(f"function_to_apply is {name!r}; it must be one of {', '.join(FUNCTIONS)}.")
        return name.lower()


def _texts(item: Any) -> tuple[str, str | None]:
    if isinstance(item, str):
        return item, None
    if isinstance(item, Mapping) and "text" in item and set(item) <= {"text", "text_pair"}:
        return item["text"], item.get("text_pair")
    if isinstance(item, (list, tuple)) and len(item) == 1 and len(item[0]) == 2:
        return item[0][0], item[0][1]
    raise InputError(f'Expected a text or {{"text": ..., "text_pair": ...}}, got {type(item).__name__} {item!r:.60}.')
