"""token-classification ("ner"): a label for each token, or entities grouped from them.

How tokens become words and entities is in entities.py; this module reads calls and makes rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, overload

from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.math import softmax
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.entities import STRATEGIES, Entity, Token, TokenLabel, aggregate, merge_overlapping
from onnxpress.pipelines.inputs import Texts, listed
from onnxpress.pipelines.known_arguments import OF_TOKEN_LABELS
from onnxpress.pipelines.labels import answer_labels, class_labels
from onnxpress.pipelines.text_processor import TextProcessor
from onnxpress.samples import Batch
from onnxpress.text.tokenizer import Encoding

Offsets = Sequence[tuple[int, int]]

#: Strategies that make entities of tokens.
Joins = Literal["simple", "first", "average", "max"]


@dataclass(frozen=True, slots=True)
class TokenClassificationOptions:
    """`stride`: tokens that windows of a long text share; None: cut the text silently at the model's limit, as
    transformers does. `delimiter` joins the words of an `is_split_into_words` input into the text that offsets count
    in. `offset_mapping`: (start, end) in the text for every token, special ones included, instead of the
    tokenizer's; one such list for each input."""

    aggregation_strategy: Any = "none"
    ignore_labels: Sequence[str] = ("O",)
    stride: int | None = None
    is_split_into_words: bool = False
    delimiter: str = " "
    offset_mapping: Any = None

    def __post_init__(self) -> None:
        value = self.aggregation_strategy
        name = str(getattr(value, "value", value)).lower()
        if name not in STRATEGIES:
            raise InputError(f"aggregation_strategy is {value!r}; it must be one of {', '.join(STRATEGIES)}.")
        object.__setattr__(self, "aggregation_strategy", name)
        if isinstance(self.ignore_labels, str) or not isinstance(self.ignore_labels, Iterable):
            raise InputError(f"ignore_labels must be a list of labels, not {self.ignore_labels!r}.")
        if self.stride is not None and (not isinstance(self.stride, int) or self.stride < 0):
            raise InputError(f"stride must be a number of tokens, not {self.stride!r}.")


@dataclass(frozen=True, slots=True)
class Document:
    """What is needed to finish one input: its text, its windows, and where its words start in the text."""

    text: str
    windows: tuple[Encoding, ...]
    word_starts: tuple[int, ...] | None
    offsets: Offsets | None


@dataclass(frozen=True, slots=True)
class _Mapped:
    """An input with offsets of its own."""

    item: Any
    offsets: Offsets


class TokenClassification(Pipeline[TokenClassificationOptions, TextProcessor]):
    """`pipe(text)` -> a list of `TokenLabel` or, with an `aggregation_strategy`, of `Entity`; lists give lists.

    Scores are Python floats, so that results can be written as JSON.
    """

    options_type = TokenClassificationOptions
    processor_type = TextProcessor
    arguments = OF_TOKEN_LABELS

    @overload
    def __call__(self, inputs: Any, *, on_error: Literal["return"], **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: Any, *, grouped_entities: bool, **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: str, *, aggregation_strategy: Joins, **options: Any) -> list[Entity]: ...
    @overload
    def __call__(self, inputs: Texts, *, aggregation_strategy: Joins, **options: Any) -> list[list[Entity]]: ...
    @overload
    def __call__(
        self, inputs: str, *, aggregation_strategy: Literal["none"] = "none", **options: Any
    ) -> list[TokenLabel]: ...
    @overload
    def __call__(
        self, inputs: Texts, *, aggregation_strategy: Literal["none"] = "none", **options: Any
    ) -> list[list[TokenLabel]]: ...
    @overload
    def __call__(self, inputs: Any, **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        names = {field.name for field in fields(TokenClassificationOptions)} & set(options)
        chosen = self._options(self.options, {name: options[name] for name in names})
        if chosen.stride is not None and chosen.aggregation_strategy == "none":
            raise InputError('stride needs an aggregation_strategy other than "none", such as "simple".')
        inputs = listed(inputs)
        if chosen.is_split_into_words and isinstance(inputs, (list, tuple)) and _is_words(inputs):
            inputs = [inputs]  # as transformers: the words of one text give a list of one result
        if chosen.offset_mapping is not None:
            inputs = _mapped(inputs, chosen.offset_mapping)
        return super().__call__(inputs, **options)

    def prepare(self, item: Any, options: TokenClassificationOptions) -> Prepared[Document]:
        item, offsets = (item.item, item.offsets) if isinstance(item, _Mapped) else (item, None)
        text, starts = _joined(item, options.delimiter) if options.is_split_into_words else (item, None)
        if not isinstance(text, str):
            raise InputError(f"Expected a text, got {type(item).__name__} {item!r:.60}.")
        first = self.processor.tokenizer.encode(item, truncation=self.processor.truncation(stride=options.stride or 0))
        windows = (first,) if options.stride is None else (first, *first.overflowing)
        return self._prepared(Document(text, windows, starts, offsets))

    def prepare_many(self, items: Sequence[Any], options: TokenClassificationOptions) -> list[Prepared[Document]]:
        """Texts that become one window each."""
        encodings = self.processor.encodings(items, truncation=self.processor.truncation())
        return [
            self._prepared(Document(text, (encoding,), None, None))
            for text, encoding in zip(items, encodings, strict=True)
        ]

    def foresee(self, item: Any, options: TokenClassificationOptions) -> int | None:
        plain = isinstance(item, str) and options.stride is None and not options.is_split_into_words
        return self.processor.foresee(item) if plain else None

    def _prepared(self, document: Document) -> Prepared[Document]:
        offsets, windows = document.offsets, document.windows
        if offsets is not None and (len(windows) > 1 or len(offsets) != len(windows[0].ids)):
            raise InputError(
                f"offset_mapping has {len(offsets)} entries for a text of {len(windows[0].ids)} tokens in "
                f"{len(windows)} windows; it needs one for each token, special tokens included, of a text of one "
                "window."
            )
        return Prepared(tuple(self.processor.sample_of(window) for window in windows), document)

    def reduce(self, batch: Batch, outputs: Outputs, options: TokenClassificationOptions) -> list[NDArray[Any]]:
        logits = outputs[self.answer_name]
        return [softmax(logits[index, batch.span(index)]) for index in range(len(batch.samples))]

    def finish(
        self, context: Document, values: list[Any], options: TokenClassificationOptions
    ) -> list[TokenLabel] | list[Entity]:
        labelled: list[Any] = []
        of_tokens = options.aggregation_strategy == "none"  # words are told by what their labels begin with
        labels = answer_labels(self) if of_tokens else class_labels(self)
        join = self.processor.tokenizer.join
        for window, scores in zip(context.windows, values, strict=True):
            tokens = self._tokens(context, window, scores)
            entities = aggregate(tokens, options.aggregation_strategy, labels, join)
            labelled += [e for e in entities if e.get("entity", e.get("entity_group")) not in options.ignore_labels]
        return merge_overlapping(labelled) if len(context.windows) > 1 else labelled

    def _tokens(self, document: Document, window: Encoding, scores: NDArray[Any]) -> list[Token]:
        """The tokens of the text, special tokens left out."""
        unknown, whole_words = self.processor.tokenizer.special("unk"), self.processor.tokenizer.marks_subwords
        offsets = document.offsets if document.offsets is not None else window.offsets
        # Each of the encoding's properties is a new list: read once, not once per token.
        special, word_ids = window.special_tokens_mask, window.word_ids
        tokens = []
        for index, token_id in enumerate(window.ids):
            if special[index]:
                continue
            start, end = offsets[index]
            word_id = word_ids[index]
            if document.word_starts is not None and word_id is not None:
                start, end = start + document.word_starts[word_id], end + document.word_starts[word_id]
            word, written = self.processor.tokenizer.token(token_id), document.text[start:end]
            if token_id == unknown:
                word, subword = written, False
            elif whole_words:  # a token that continues a word carries a prefix, so it is longer than what it stands for
                subword = len(word) != len(written)
            else:  # the tokenizer does not say; a token with no space before it continues a word
                subword = start > 0 and " " not in document.text[start - 1 : start + 1]
            tokens.append(Token(word, scores[index], start, end, index, subword))
        return tokens

    def _options(self, base: Any, changes: Mapping[str, Any]) -> Any:
        """As transformers: None means that an argument was not given."""
        return super()._options(base, {name: value for name, value in changes.items() if value is not None})


def _is_words(inputs: Sequence[Any]) -> bool:
    return bool(inputs) and not all(isinstance(item, (list, tuple)) for item in inputs)


def _joined(words: Any, delimiter: str) -> tuple[str, tuple[int, ...]]:
    """Join words to a text; with the place where each begins."""
    if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
        raise InputError(f"Expected a list of words, got {type(words).__name__} {words!r:.60}.")
    starts, position = [], 0
    for word in words:
        starts.append(position)
        position += len(word) + len(delimiter)
    return delimiter.join(words), tuple(starts)


def _mapped(inputs: Any, mapping: Any) -> _Mapped | list[_Mapped]:
    """Pair each input with its offsets."""
    if isinstance(inputs, str):
        single = len(mapping) == 1 and len(mapping[0]) > 0 and isinstance(mapping[0][0], (list, tuple))
        return _Mapped(inputs, mapping[0] if single else mapping)
    if not isinstance(inputs, (list, tuple)):
        raise InputError(f"offset_mapping needs a text or a list of texts, not {type(inputs).__name__}.")
    mappings = [mapping] if mapping and isinstance(mapping[0], tuple) else mapping
    if len(mappings) != len(inputs):
        raise InputError(f"offset_mapping has {len(mappings)} lists of offsets for {len(inputs)} inputs.")
    return [_Mapped(item, offsets) for item, offsets in zip(inputs, mappings, strict=True)]
