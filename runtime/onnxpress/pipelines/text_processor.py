"""Texts -> samples: the tokenizer of an artifact, the limits of its model, and how rows of tokens are padded.

What tasks of text share. Knows nothing of any task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, get_args

from onnxpress.errors import InputError
from onnxpress.format.processors import TokenizerSettings
from onnxpress.pipelines.arguments import translate
from onnxpress.pipelines.collators import PadTokens, size_of, token_sample
from onnxpress.pipelines.inputs import holds_texts
from onnxpress.pipelines.known_arguments import OF_TOKENIZERS
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.samples import Sample
from onnxpress.suggestions import did_you_mean
from onnxpress.text.tokenizer import Encoding, Strategy, Tokenizer, Truncation

#: The roles of graphs that read tokens, in the order in which they are looked for.
_READERS = ("encoder", "text", "decoder")

#: What they read, and its dtype unless the graph says another.
_TOKENS, _IDS = ("input_ids", "attention_mask", "token_type_ids"), "int64"

#: More special tokens than any tokenizer adds to a text.
_SPECIAL_TOKENS = 8

#: Texts of so many characters are encoded at once.
_BATCH_CHARACTERS = 65_536

_ARGUMENTS = ("add_special_tokens", "max_length", "padding", "truncation")


class TextProcessor:
    """Samples of texts, as the graph of a model takes them."""

    def __init__(self, model: LoadedModel) -> None:
        manifest = model.artifact.manifest
        self.task = model.task.name
        self.tokenizer: Tokenizer = model.text_tokenizer()
        inputs = next(graph.inputs for role in _READERS for graph in manifest.graphs.values() if graph.role == role)
        self.collator = PadTokens(
            tuple(tensor.name for tensor in inputs),
            self.settings.pad_token_id,
            self.settings.pad_token_type_id,
            self.settings.padding_side,
            manifest.padding,
            {tensor.name: tensor.dtype for tensor in inputs if tensor.dtype != _IDS and tensor.name in _TOKENS},
            size_of(inputs[0]),
        )

    @property
    def settings(self) -> TokenizerSettings:
        """The artifact's tokenizer settings."""
        return self.tokenizer.settings

    def sample(self, raw: Any, context: Any = None) -> Sample:
        """A text as it is, not cut.

        Raises:
            InputError: not a text, or longer than the model takes.
        """
        return self.sample_of(self.tokenizer.encode(self.text(raw)), context)

    def text(self, item: Any) -> str:
        """The item, if it is a text.

        Raises:
            InputError: it is something else.
        """
        if isinstance(item, str):
            return item
        hint = " Of a table of texts, pass table.ravel()." if holds_texts(item) else ""
        raise InputError(f"{self.task} takes texts, got {type(item).__name__} {item!r:.60}.{hint}")

    def foresee(self, item: Any) -> int | None:
        """About the most tokens of a text, or of an object of texts; None: it is something else."""
        if isinstance(item, str):
            # A character that is not ASCII may be as many tokens as it has bytes.
            return len(item) * (1 if item.isascii() else 4) + _SPECIAL_TOKENS
        if not isinstance(item, Mapping):
            return None
        counts = [self.foresee(text) if isinstance(text, str) else None for text in item.values()]
        return None if None in counts else sum(count for count in counts if count is not None)

    def encodings(
        self,
        texts: Sequence[str],
        pairs: Sequence[str | None] | None = None,
        *,
        truncation: Truncation | None = None,
        special_tokens: bool = True,
    ) -> Iterator[Encoding]:
        """Encode texts, or pairs of a text and the one at its place in `pairs`, many at once while other threads run.

        Encodings are far larger than samples, so no more than a few are there at a time.

        Raises:
            InputError: when the first bad one is reached.
        """
        encode = partial(self.tokenizer.encode, truncation=truncation, special_tokens=special_tokens)
        seconds = [None] * len(texts) if pairs is None else pairs
        for span in _spans([len(text) + len(pair or "") for text, pair in zip(texts, seconds, strict=True)]):
            firsts, others = texts[span], seconds[span]
            try:
                encodings = self.tokenizer.encode_batch(
                    firsts, others, truncation=truncation, special_tokens=special_tokens
                )
            except InputError:
                yield from map(encode, firsts, others)
            else:
                yield from encodings

    def encode(self, item: Any, arguments: Mapping[str, Any]) -> Encoding:
        """Encode one text with checked arguments of the tokenizer. As in transformers, `max_length` alone cuts.

        Raises:
            InputError: not a text.
        """
        return self.tokenizer.encode(self.text(item), **self._translated(arguments))

    def encode_many(self, items: Sequence[Any], arguments: Mapping[str, Any]) -> Iterator[Encoding]:
        """What `encode` gives for each of several texts."""
        return self.encodings([self.text(item) for item in items], **self._translated(arguments))

    def _translated(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """transformers' arguments of a tokenizer as those of ours."""
        chosen = strategy(arguments.get("truncation"))
        if chosen is None and arguments.get("truncation") is None and arguments.get("max_length") is not None:
            chosen = "longest_first"
        return {
            "truncation": None if chosen is None else self.truncation(chosen, arguments.get("max_length")),
            "special_tokens": bool(arguments.get("add_special_tokens", True)),
        }

    def limit(self, max_length: int | None = None) -> int | None:
        """The longest row in tokens: the model's limit, or `max_length` if that is smaller. None: no limit."""
        limits = [length for length in (self.settings.max_length, max_length) if length is not None]
        return min(limits, default=None)

    def truncation(
        self, chosen: Strategy = "longest_first", max_length: int | None = None, stride: int = 0
    ) -> Truncation | None:
        """Truncation to the limit of the model; None if it has none."""
        limit = self.limit(max_length)
        return None if limit is None else Truncation(limit, chosen, stride)

    def sample_of(self, encoding: Encoding, context: Any = None) -> Sample:
        """A sample of an encoding, refused if the model cannot take it.

        Raises:
            InputError: no tokens at all, more than the model's limit, or one that the model has no row for.
        """
        return self.sample_within(encoding, self.settings.max_length, context)

    def sample_within(self, encoding: Encoding, limit: int | None, context: Any = None) -> Sample:
        """The same, of a graph with another limit than the model's."""
        ids = encoding.ids
        if limit is not None and len(ids) > limit:
            raise InputError(
                f"The text has {len(ids)} tokens, the model takes at most {limit}. Pass truncation=True to cut it, or "
                "split it."
            )
        if not ids:
            raise no_tokens()
        self.tokenizer.check_ids(ids)
        type_ids = encoding.type_ids if "token_type_ids" in self.collator.names else None
        return token_sample(ids, type_ids, context)


def _spans(lengths: Sequence[int]) -> Iterator[slice]:
    """Neighbours of about `_BATCH_CHARACTERS` characters together."""
    start = total = 0
    for index, length in enumerate(lengths):
        total += length
        if total >= _BATCH_CHARACTERS:
            yield slice(start, index + 1)
            start, total = index + 1, 0
    if start < len(lengths):
        yield slice(start, len(lengths))


def no_tokens() -> InputError:
    """The error of a text that is nothing to its tokenizer."""
    return InputError("An input has no tokens at all, and this model adds none of its own.")


def check_arguments(arguments: Any, name: str) -> None:
    """Refuse what is not a dictionary of arguments of the tokenizer (`tokenizer_kwargs`, `tokenize_kwargs`).

    `padding` may be there, but not as "max_length": results here do not depend on padding.

    Raises:
        InputError: an unknown argument or a value that it cannot have.
    """
    if not isinstance(arguments, Mapping):
        raise InputError(f"{name} must be a dictionary, not {type(arguments).__name__}.")
    unknown = sorted(set(translate(arguments, OF_TOKENIZERS)) - set(_ARGUMENTS))
    if unknown:
        hint = did_you_mean(unknown[0], _ARGUMENTS)
        raise InputError(f"{name} has {unknown[0]!r}.{hint} It may have: {', '.join(_ARGUMENTS)}.")
    if arguments.get("padding") == "max_length":
        raise InputError(f'{name}: padding="max_length" is not offered: results do not contain padding.')
    length = arguments.get("max_length")
    if length is not None and (not isinstance(length, int) or isinstance(length, bool) or length < 1):
        raise InputError(f"{name}: max_length is {length!r}; it must be a positive number of tokens.")
    strategy(arguments.get("truncation"))


def strategy(value: Any) -> Strategy | None:
    """The truncation strategy of transformers' `truncation` argument; None: do not cut.

    Raises:
        InputError: neither a boolean nor the name of a strategy.
    """
    name = getattr(value, "value", value)
    if name is None or name is False or name == "do_not_truncate":
        return None
    if name is True:
        return "longest_first"
    for known in get_args(Strategy):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise InputError(f"truncation is {value!r}; it must be True, False or one of {', '.join(get_args(Strategy))}.")
