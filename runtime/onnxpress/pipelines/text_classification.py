"""text-classification: one label or several, regression, and pairs of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.math import top_k
from onnxpress.pipelines.arguments import translate
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.class_scores import FUNCTIONS, Classification, chosen_function, function_name
from onnxpress.pipelines.inputs import Many, Row, as_pairs, picked
from onnxpress.pipelines.known_arguments import OF_PAIRS, OF_TOKENIZERS
from onnxpress.pipelines.labels import answer_labels, class_labels
from onnxpress.pipelines.text_processor import TextProcessor, strategy
from onnxpress.samples import Batch
from onnxpress.text.tokenizer import Truncation


@dataclass(frozen=True, slots=True)
class TextClassificationOptions:
    """The call arguments of transformers' pipeline and, as there, of its tokenizer.

    `top_k`: an integer, or None for all labels; "" (the default) gives the best alone, not in a list.
    `truncation`: True, False, or the tokenizer's name of a strategy; None cuts only where `max_length` says to.
    `padding` is accepted and has no effect: batches are padded as needed, and results do not depend on it.
    `return_all_scores`, of transformers 4, gives all labels in the model's order, unless `top_k` is given.
    """

    top_k: int | str | None = ""
    function_to_apply: Any = None
    truncation: Any = None
    max_length: int | None = None
    padding: Any = False
    add_special_tokens: bool = True
    return_all_scores: bool | None = None

    def __post_init__(self) -> None:
        if self.top_k not in ("", None) and (not isinstance(self.top_k, int) or self.top_k < 0):
            raise InputError(f"top_k is {self.top_k!r}; it must be a number of labels, or None for all of them.")
        if self.function_to_apply is not None:
            function_name(self.function_to_apply)
        strategy(self.truncation)
        if self.max_length is not None and (not isinstance(self.max_length, int) or self.max_length < 1):
            raise InputError(f"max_length is {self.max_length!r}; it must be a positive number of tokens, or None.")


class TextClassification(Pipeline[TextClassificationOptions, TextProcessor]):
    """`pipe(text)`, `pipe({"text": ..., "text_pair": ...})` or lists of these.

    A text longer than the model's limit is an InputError unless `truncation` is given.
    """

    options_type = TextClassificationOptions
    processor_type = TextProcessor
    arguments = OF_TOKENIZERS

    @overload
    def __call__(self, inputs: Any, *, on_error: Literal["return"], **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: Any, *, return_all_scores: bool, **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: Many, *, top_k: int | None, **options: Any) -> list[list[Classification]]: ...
    @overload
    def __call__(self, inputs: str | Row, *, top_k: int | None, **options: Any) -> list[Classification]: ...
    @overload
    def __call__(self, inputs: str | Many, **options: Any) -> list[Classification]: ...
    @overload
    def __call__(self, inputs: Row, **options: Any) -> Classification: ...
    @overload
    def __call__(self, inputs: Any, **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        result = super().__call__(inputs, **options)
        # As transformers: a single text gives a list, unless `top_k` was passed in this very call.
        return [result] if isinstance(inputs, str) and "top_k" not in options else result

    def predict(self, inputs: Any, **arguments: Any) -> NDArray[np.float32]:
        """sentence-transformers' name of a CrossEncoder with several labels: scores of pairs of texts, float32 (pairs,
        labels) in the order of the labels; of one pair, float32 (labels). They are logits, unless the checkpoint's
        config or `activation_fn` says otherwise; `apply_softmax` makes them probabilities.

        Takes CrossEncoder's arguments, and those of a call.

        Raises:
            InputError: not pairs, or an argument that is refused.
        """
        single = len(inputs) == 2 and all(isinstance(text, str) for text in inputs)
        pairs = as_pairs([inputs] if single else inputs, "To classify texts, call the pipeline itself.")
        options = translate(arguments, OF_PAIRS)
        count = len(class_labels(self))
        usual = self.manifest.postprocessing.function_to_apply or ("none" if count > 1 else "sigmoid")
        named = options.pop("function_to_apply", None) or usual
        scores = np.empty((len(pairs), count), dtype=np.float32)
        rows = [{"text": first, "text_pair": second} for first, second in pairs]
        order = {label: place for place, label in enumerate(answer_labels(self))}
        results = self(rows, **{"truncation": True, **options, "top_k": None, "function_to_apply": named})
        for target, result in zip(scores, results, strict=True):
            for entry in result:
                target[order[entry["label"]]] = entry["score"]
        return scores[0] if single else scores

    def prepare(self, item: Any, options: TextClassificationOptions) -> Prepared[None]:
        text, pair = _texts(item)
        encoding = self.processor.tokenizer.encode(
            text, pair, truncation=self._truncation(options), special_tokens=options.add_special_tokens
        )
        return Prepared((self.processor.sample_of(encoding),), None)

    def prepare_many(self, items: Sequence[Any], options: TextClassificationOptions) -> list[Prepared[None]]:
        texts = [_texts(item) for item in items]
        encodings = self.processor.encodings(
            [text for text, _ in texts],
            [pair for _, pair in texts],
            truncation=self._truncation(options),
            special_tokens=options.add_special_tokens,
        )
        return [Prepared((self.processor.sample_of(encoding),), None) for encoding in encodings]

    def foresee(self, item: Any, options: TextClassificationOptions) -> int | None:
        return self.processor.foresee(item)

    def reduce(self, batch: Batch, outputs: Outputs, options: TextClassificationOptions) -> list[NDArray[Any]]:
        apply = FUNCTIONS[chosen_function(options.function_to_apply, self.manifest.postprocessing)]
        return [np.array(apply(logits)) for logits in outputs[self.answer_name]]

    def finish(self, context: None, values: list[Any], options: TextClassificationOptions) -> Any:
        scores, labels = values[0], answer_labels(self)
        if options.top_k == "" and options.return_all_scores:
            return [Classification(label=labels[i], score=float(score)) for i, score in enumerate(scores)]
        if options.top_k == "":
            best = int(scores.argmax())
            return Classification(label=labels[best], score=float(scores[best]))
        count = len(labels) if options.top_k is None else int(options.top_k)
        return [Classification(label=labels[i], score=float(scores[i])) for i in top_k(scores, count)]

    def _truncation(self, options: TextClassificationOptions) -> Truncation | None:
        """transformers' rule: `max_length` alone cuts, unless padding is on, where it means the padded length."""
        chosen = strategy(options.truncation)
        if options.truncation is None and options.max_length is not None and options.padding is False:
            chosen = "longest_first"
        return None if chosen is None else self.processor.truncation(chosen, options.max_length)


def _texts(item: Any) -> tuple[str, str | None]:
    match item:
        case str(text):
            return text, None
        case {"text": str(text), **rest}:
            pair = rest.get("text_pair") or None  # transformers drops an empty second text
            if pair is None or isinstance(pair, str):
                picked(item, ("text",), ("text_pair",))
                return text, pair
        case [[str(text), str(pair)]]:  # the form of a pair before dictionaries
            return text, pair or None
    raise InputError(f'Expected a text or {{"text": ..., "text_pair": ...}}, got {type(item).__name__} {item!r:.60}.')
