"""question-answering: the span of a context that answers a question, with the schema of transformers 4.

The context is read in overlapping windows. Each window's probabilities are normalized within it, spans of equal
text add up, and the best `top_k` of all windows are returned, as transformers 4 did; the span arithmetic itself is
in spans.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, overload

import numpy as np

from onnxpress.errors import InputError
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.inputs import Row, is_stream, listed
from onnxpress.pipelines.known_arguments import OF_ANSWERS
from onnxpress.pipelines.spans import Window, best_spans, null_score, probabilities
from onnxpress.pipelines.text_processor import TextProcessor
from onnxpress.samples import Sample
from onnxpress.text.tokenizer import Encoding, Truncation

#: transformers 4 widens its search by so many spans, because spans inside one word become the same answer.
_SPARE_SPANS = 10


class Answer(TypedDict):
    """`context[start:end] == answer`, counted in characters. An impossible answer is "" with start = end = 0."""

    score: float
    start: int
    end: int
    answer: str


@dataclass(frozen=True, slots=True)
class QuestionAnsweringOptions:
    """`max_seq_len` counts the tokens of a window (None: 384, or the model's limit); `doc_stride` those it shares with
    the one before (None: 128, less where windows are short); `max_answer_len` those of an answer.

    `max_question_len` cuts the question to so many tokens. It is None, because transformers 4 promised to cut at 64
    and did not. `align_to_words` extends answers to whole words. `padding` is accepted and has no effect.
    """

    top_k: int = 1
    doc_stride: int | None = None
    max_answer_len: int = 15
    max_seq_len: int | None = None
    max_question_len: int | None = None
    handle_impossible_answer: bool = False
    align_to_words: bool = True
    padding: Any = "do_not_pad"

    def __post_init__(self) -> None:
        for name in ("top_k", "max_answer_len", "max_seq_len", "max_question_len"):
            value = getattr(self, name)
            optional = name.startswith("max_") and name.endswith(("seq_len", "question_len"))
            if not (optional and value is None) and (not _is_integer(value) or value < 1):
                raise InputError(f"{name} is {value!r}; it must be a positive integer.")
        if self.doc_stride is not None and (not _is_integer(self.doc_stride) or self.doc_stride < 0):
            raise InputError(f"doc_stride is {self.doc_stride!r}; it must be a number of tokens, or None.")


@dataclass(frozen=True, slots=True)
class Question:
    """A context and its windows, in order."""

    context: str
    windows: tuple[Window, ...]


class QuestionAnswering(Pipeline[QuestionAnsweringOptions, TextProcessor]):
    """`pipe(question=..., context=...)`, `pipe({"question": ..., "context": ...})`, or lists of either.

    One context may serve a list of questions, and the reverse. One question gives one `Answer`, or a list of them if
    `top_k` is more than 1 and more than one is found; a generator of dictionaries gives a lazy iterator.
    """

    options_type = QuestionAnsweringOptions
    processor_type = TextProcessor
    arguments = OF_ANSWERS

    @overload
    def __call__(self, *inputs: Any, on_error: Literal["return"], **options: Any) -> Any: ...
    @overload
    def __call__(self, *, question: str, context: str, top_k: int, **options: Any) -> Answer | list[Answer]: ...
    @overload
    def __call__(self, *, question: str, context: str, **options: Any) -> Answer: ...
    @overload
    def __call__(self, inputs: Row, *, top_k: int, **options: Any) -> Answer | list[Answer]: ...
    @overload
    def __call__(self, inputs: Row, **options: Any) -> Answer: ...
    @overload
    def __call__(
        self, inputs: Any = None, *more: Any, question: Any = None, context: Any = None, **options: Any
    ) -> Any: ...
    def __call__(
        self, inputs: Any = None, *more: Any, question: Any = None, context: Any = None, **options: Any
    ) -> Any:
        for name in ("X", "data"):  # transformers 4 took the inputs under these names, too
            if options.get(name) is not None and (inputs is not None or question is not None):
                raise InputError(f"{name}= is another name of the inputs: pass them once.")
            inputs = options.pop(name, None) if inputs is None else inputs
        items = _items(inputs, more, question, context)
        return super().__call__(items[0] if isinstance(items, list) and len(items) == 1 else items, **options)

    def check(self, options: QuestionAnsweringOptions) -> None:
        self._window_length(options)

    def prepare(self, item: Any, options: QuestionAnsweringOptions) -> Prepared[Question]:
        question, context = _question_and_context(item)
        question = self._shortened(question, options.max_question_len)
        question_first = self.processor.settings.padding_side == "right"
        length = self._window_length(options)
        encoding = self.processor.tokenizer.encode(
            question if question_first else context,
            context if question_first else question,
            truncation=Truncation(
                length,
                "only_second" if question_first else "only_first",
                self._stride(question, length, options.doc_stride),
            ),
        )
        cls = self.processor.tokenizer.special("cls")
        windows: list[Window] = []
        samples: list[Sample] = []
        pieces: list[Encoding] = [encoding, *encoding.overflowing]
        for piece in pieces:
            windows.append(Window.of(piece, context_side=1 if question_first else 0, cls=cls))
            samples.append(self.processor.sample_of(piece))
        return Prepared(tuple(samples), Question(context, tuple(windows)))

    def finish(self, context: Question, values: list[Any], options: QuestionAnsweringOptions) -> Any:
        wanted = options.top_k * 2 + _SPARE_SPANS if options.align_to_words else options.top_k
        answers: dict[str, Answer] = {}
        null = 1e6
        for window, value in zip(context.windows, values, strict=True):
            start = probabilities(window, value["start_logits"])
            end = probabilities(window, value["end_logits"])
            null = min(null, null_score(window, start, end))
            for span in best_spans(window, start, end, wanted, options.max_answer_len):
                first, last = window.characters(span.start, span.end, options.align_to_words)
                text = context.context[first:last]
                answer = answers.setdefault(text.lower(), Answer(score=0.0, start=first, end=last, answer=text))
                answer["score"] += span.score
        ranked = list(answers.values())
        if options.handle_impossible_answer or not ranked:
            score = null if options.handle_impossible_answer else 0.0
            ranked.append(Answer(score=score, start=0, end=0, answer=""))
        ranked = sorted(ranked, key=lambda answer: -answer["score"])[: options.top_k]
        return ranked[0] if len(ranked) == 1 else ranked

    def _window_length(self, options: QuestionAnsweringOptions) -> int:
        limit = self.processor.limit()
        if options.max_seq_len is None:
            return min(384, limit or 384)
        if limit is not None and options.max_seq_len > limit:
            raise InputError(f"max_seq_len is {options.max_seq_len}, but the model takes at most {limit} tokens.")
        return options.max_seq_len

    def _shortened(self, question: str, limit: int | None) -> str:
        """The question up to the end of its token number `limit`."""
        if limit is None:
            return question
        offsets = self.processor.tokenizer.encode(question, special_tokens=False).offsets
        return question if len(offsets) <= limit else question[: offsets[limit - 1][1]]

    def _stride(self, question: str, length: int, stride: int | None) -> int:
        """How many tokens two windows share.

        Raises:
            InputError: no room for the context beside the question, or more shared tokens than there is room.
        """
        tokens = len(self.processor.tokenizer.encode(question, special_tokens=False).ids)
        room = length - tokens - self.processor.tokenizer.special_count(pair=True)
        if room < 1:
            raise InputError(
                f"The question has {tokens} tokens, which leaves no room for the context in max_seq_len={length}. "
                "Shorten it, pass max_question_len to cut it, or pass a larger max_seq_len."
            )
        if stride is None:
            usual = min(length // 2, 128)
            return usual if usual < room else room // 2  # a question so long is one that transformers 4 refused
        if stride >= room:
            raise InputError(
                f"doc_stride={stride} does not fit: beside the question ({tokens} tokens), max_seq_len={length} leaves "
                f"{room} tokens for the context. Choose a smaller doc_stride or a larger max_seq_len."
            )
        return stride


def _items(inputs: Any, more: Sequence[Any], question: Any, context: Any) -> Any:
    """What the call is about: a list of items, or a generator or dataset untouched."""
    if inputs is None:
        if question is None or context is None:
            raise InputError('This task takes question=... and context=..., or {"question": ..., "context": ...}.')
        return _pairs(question, context)
    if question is not None or context is not None:
        raise InputError("Pass the question and its context either by name or in a dictionary, not both.")
    if more:
        items = [inputs, *more]
        return _pairs(*items) if len(items) == 2 and all(isinstance(item, str) for item in items) else items
    inputs = listed(inputs)
    if is_stream(inputs):
        return inputs
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]


def _pairs(question: Any, context: Any) -> list[Any]:
    question, context = listed(question), listed(context)
    questions, contexts = ([side] if isinstance(side, str) else list(side) for side in (question, context))
    if isinstance(context, str):
        contexts *= len(questions)
    elif isinstance(question, str):
        questions *= len(contexts)
    if len(questions) != len(contexts):
        raise InputError(f"{len(questions)} questions, but {len(contexts)} contexts. Pass one context for each or one.")
    return [{"question": asked, "context": text} for asked, text in zip(questions, contexts, strict=True)]


def _question_and_context(item: Any) -> tuple[str, str]:
    if hasattr(item, "question_text") and hasattr(item, "context_text"):  # transformers' SquadExample
        item = {"question": item.question_text, "context": item.context_text}
    if not isinstance(item, Mapping):
        raise InputError(f'Expected {{"question": ..., "context": ...}}, got {type(item).__name__} {item!r:.60}.')
    for name in ("question", "context"):
        value = item.get(name)
        if not isinstance(value, str) or not value:
            raise InputError(f"The {name} must be a text that is not empty, got {type(value).__name__} {value!r:.60}.")
    return item["question"], item["context"]


def _is_integer(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
