"""feature-extraction: what the encoder returns for every token, unpooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.inputs import Texts
from onnxpress.pipelines.tensors import as_tensors, check_tensors
from onnxpress.pipelines.text_processor import TextProcessor, check_arguments


@dataclass(frozen=True, slots=True)
class FeatureExtractionOptions:
    """`return_tensors`: "np" or True for arrays, "pt" for PyTorch's tensors where the caller has imported torch, False
    or None for nested lists.

    `truncation` cuts a text to the model's limit; without it, a longer text is an InputError. `tokenize_kwargs` holds
    this and other arguments of the tokenizer.
    """

    return_tensors: Any = None
    truncation: Any = None
    tokenize_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_tensors(self.return_tensors)
        if self.truncation is not None and "truncation" in (self.tokenize_kwargs or {}):
            raise InputError("truncation is given twice: as an argument and in tokenize_kwargs.")
        check_arguments(self.arguments(), "tokenize_kwargs")

    def arguments(self) -> Mapping[str, Any]:
        """The tokenizer's arguments together."""
        arguments = self.tokenize_kwargs or {}
        return arguments if self.truncation is None else {**arguments, "truncation": self.truncation}


class FeatureExtraction(Pipeline[FeatureExtractionOptions, TextProcessor]):
    """`pipe(text)` -> nested lists of floats (1, sequence, hidden), or with `return_tensors` a float32 array of
    this shape; a list of texts gives a list of these."""

    options_type = FeatureExtractionOptions
    processor_type = TextProcessor

    @overload
    def __call__(self, inputs: Any, *, on_error: Literal["return"], **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: str, *, return_tensors: Literal[True, "np"], **options: Any) -> NDArray[np.float32]: ...
    @overload
    def __call__(
        self, inputs: Texts, *, return_tensors: Literal[True, "np"], **options: Any
    ) -> list[NDArray[np.float32]]: ...
    @overload
    def __call__(
        self, inputs: str, *, return_tensors: Literal[False] | None = None, **options: Any
    ) -> list[list[list[float]]]: ...
    @overload
    def __call__(
        self, inputs: Texts, *, return_tensors: Literal[False] | None = None, **options: Any
    ) -> list[list[list[list[float]]]]: ...
    @overload
    def __call__(self, inputs: Any, **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        return super().__call__(inputs, **options)

    def prepare(self, item: Any, options: FeatureExtractionOptions) -> Prepared[None]:
        return Prepared((self.processor.sample_of(self.processor.encode(item, options.arguments())),), None)

    def prepare_many(self, items: Sequence[Any], options: FeatureExtractionOptions) -> list[Prepared[None]]:
        encodings = self.processor.encode_many(items, options.arguments())
        return [Prepared((self.processor.sample_of(encoding),), None) for encoding in encodings]

    def foresee(self, item: Any, options: FeatureExtractionOptions) -> int | None:
        return self.processor.foresee(item)

    def finish(self, context: None, values: list[Any], options: FeatureExtractionOptions) -> Any:
        return as_tensors(values[0][self.answer_name][None], options.return_tensors)
