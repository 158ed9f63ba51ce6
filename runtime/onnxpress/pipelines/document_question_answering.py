"""document-question-answering: the words of a document that answer a question, in transformers' schema.

The document is read in overlapping windows. Each window's probabilities are normalized within it, and the best `top_k`
of all windows are returned, one span more than once where windows share it, as transformers does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from onnxpress.errors import InputError
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.documents import DocumentProcessor, read_document
from onnxpress.pipelines.spans import Window, best_spans, null_score, probabilities


class DocumentAnswer(TypedDict):
    """Words `start` to `end` of the document, the last included, joined by spaces. An impossible answer is "" with
    start = end = 0."""

    score: float
    answer: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DocumentQuestionAnsweringOptions:
    """`max_seq_len` counts the tokens of a window (None: as many as the model takes); `doc_stride` those it shares with
    the one before (None: half a window, at most 256); `max_answer_len` those of an answer. `padding` is accepted and
    has no effect, and so are `lang` and `tesseract_config`: no text is recognized here."""

    top_k: int = 1
    doc_stride: int | None = None
    max_answer_len: int = 15
    max_seq_len: int | None = None
    handle_impossible_answer: bool = False
    padding: Any = "do_not_pad"
    lang: str | None = None
    tesseract_config: str | None = None

    def __post_init__(self) -> None:
        for name in ("top_k", "max_answer_len", "max_seq_len"):
            value = getattr(self, name)
            if not (name == "max_seq_len" and value is None) and (not _is_integer(value) or value < 1):
                raise InputError(f"{name} is {value!r}; it must be a positive integer.")
        if self.doc_stride is not None and (not _is_integer(self.doc_stride) or self.doc_stride < 0):
            raise InputError(f"doc_stride is {self.doc_stride!r}; it must be a number of tokens, or None.")


@dataclass(frozen=True, slots=True)
class PageWindows:
    """The words of a document and its windows, in order."""

    words: tuple[str, ...]
    windows: tuple[Window, ...]


class DocumentQuestionAnswering(Pipeline[DocumentQuestionAnsweringOptions, DocumentProcessor]):
    """`pipe(question="What is the total?", word_boxes=[("Total", [70, 50, 120, 62]), ...])` -> [{"score", "answer",
    "start", "end"}, ...], best first.

    A list or a stream has `{"question": ..., "word_boxes": ...}`. `image=` may be there: as in transformers, whose
    pipeline does not let its models see it, answers are of words and boxes.
    """

    options_type = DocumentQuestionAnsweringOptions
    processor_type = DocumentProcessor

    def __call__(  # type: ignore[override]  # `inputs` is `image` here
        self, image: Any = None, question: Any = None, word_boxes: Any = None, **options: Any
    ) -> Any:
        if question is None and word_boxes is None:
            return super().__call__(image, **options)
        return super().__call__({"image": image, "question": question, "word_boxes": word_boxes}, **options)

    def check(self, options: DocumentQuestionAnsweringOptions) -> None:
        limit = self.processor.limit()
        if options.max_seq_len is not None and limit is not None and options.max_seq_len > limit:
            raise InputError(f"max_seq_len is {options.max_seq_len}, but the model takes at most {limit} tokens.")

    def prepare(self, item: Any, options: DocumentQuestionAnsweringOptions) -> Prepared[PageWindows]:
        self.check(options)
        document = read_document(item, self.task)
        pieces = self.processor.windows(document, options.max_seq_len, options.doc_stride)
        cls = self.processor.tokenizer.special("cls")
        windows = tuple(Window.of(piece, context_side=1, cls=cls) for piece, _ in pieces)
        return Prepared(tuple(sample for _, sample in pieces), PageWindows(document.words, windows))

    def finish(
        self, context: PageWindows, values: list[Any], options: DocumentQuestionAnsweringOptions
    ) -> list[DocumentAnswer]:
        answers: list[DocumentAnswer] = []
        null = 1e6
        for window, value in zip(context.windows, values, strict=True):
            start = probabilities(window, value["start_logits"])
            end = probabilities(window, value["end_logits"])
            null = min(null, null_score(window, start, end))
            for span in best_spans(window, start, end, options.top_k, options.max_answer_len):
                first, last = window.words[span.start], window.words[span.end]
                if first is not None and last is not None:
                    text = " ".join(context.words[first : last + 1])
                    answers.append(DocumentAnswer(score=span.score, answer=text, start=first, end=last))
        if options.handle_impossible_answer:
            answers.append(DocumentAnswer(score=null, answer="", start=0, end=0))
        return sorted(answers, key=lambda answer: -answer["score"])[: options.top_k]


def _is_integer(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
