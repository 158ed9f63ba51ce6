"""multiple-choice: which of several texts goes on from a prompt, as a model made for SWAG or RACE scores each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, overload

import numpy as np

from onnxpress.errors import InputError
from onnxpress.math import softmax, top_k
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.inputs import Row, Texts, picked
from onnxpress.pipelines.text_processor import TextProcessor
from onnxpress.samples import Batch


class RankedChoice(TypedDict):
    """`index` counts the choices as they were given; the scores of all of them add up to 1."""

    index: int
    choice: str
    score: float


@dataclass(frozen=True, slots=True)
class MultipleChoiceOptions:
    """`top_k`: return only so many, None: all. `max_length`: cut pairs to fewer tokens than the limit."""

    top_k: int | None = None
    max_length: int | None = None

    def __post_init__(self) -> None:
        for name in ("top_k", "max_length"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InputError(f"{name} is {value!r}; it must be a positive integer, or None.")


class MultipleChoice(Pipeline[MultipleChoiceOptions, TextProcessor]):
    """`pipe(prompt=..., choices=[...])` -> `[{"index": 2, "choice": "...", "score": 0.9}, ...]`, best first, ties in
    their order.

    A list or a stream has `{"prompt": ..., "choices": [...]}`, each with as many choices as it likes. A pair longer
    than the model's limit is cut, the longer text first.
    """

    options_type = MultipleChoiceOptions
    processor_type = TextProcessor

    @overload  # type: ignore[override]  # `inputs` is `prompt` here
    def __call__(self, prompt: Any, choices: Any = None, *, on_error: Literal["return"], **options: Any) -> Any: ...
    @overload
    def __call__(self, prompt: str, choices: Texts, **options: Any) -> list[RankedChoice]: ...
    @overload
    def __call__(self, prompt: Row, **options: Any) -> list[RankedChoice]: ...
    @overload
    def __call__(self, prompt: Any = None, choices: Any = None, **options: Any) -> Any: ...
    def __call__(self, prompt: Any = None, choices: Any = None, **options: Any) -> Any:
        """Choose.

        Args:
            prompt: a text; or, without `choices`, one mapping or a list or stream of mappings with "prompt" and
                "choices".
            choices: texts.

        Raises:
            InputError: anything else.
        """
        return super().__call__(prompt if choices is None else {"prompt": prompt, "choices": choices}, **options)

    def prepare(self, item: Any, options: MultipleChoiceOptions) -> Prepared[Sequence[str]]:
        prompt, choices = _prompt_and_choices(item)
        processor = self.processor
        truncation = processor.truncation(max_length=options.max_length)
        encodings = processor.encodings([prompt] * len(choices), choices, truncation=truncation)
        return Prepared(tuple(processor.sample_of(encoding) for encoding in encodings), choices)

    def reduce(self, batch: Batch, outputs: Outputs, options: MultipleChoiceOptions) -> list[float]:
        return outputs[self.answer_name][:, 0].tolist()  # type: ignore[no-any-return]

    def finish(self, context: Sequence[str], values: list[Any], options: MultipleChoiceOptions) -> list[RankedChoice]:
        scores = softmax(np.array(values, dtype=np.float32))
        order = top_k(scores, len(values) if options.top_k is None else options.top_k)
        return [RankedChoice(index=int(i), choice=context[i], score=float(scores[i])) for i in order]


def _prompt_and_choices(item: Any) -> tuple[str, Sequence[str]]:
    if not isinstance(item, Mapping) or not {"prompt", "choices"} & set(item):
        raise InputError(f'Expected {{"prompt": ..., "choices": [...]}}, got {type(item).__name__} {item!r:.60}.')
    prompt, choices = picked(item, ("prompt", "choices"))
    if not isinstance(prompt, str):
        raise InputError(f"prompt must be a text, not {type(prompt).__name__} {prompt!r:.60}.")
    if not isinstance(choices, (list, tuple)) or not choices:
        raise InputError(f"choices must be a list of texts, at least one, not {choices!r:.60}.")
    for choice in choices:
        if not isinstance(choice, str):
            raise InputError(f"A choice must be a text, not {type(choice).__name__} {choice!r:.60}.")
    return prompt, tuple(choices)
