"""What the tasks of encoder-decoders share: one text read, another one written, in the schema of transformers 4.

Knows no single task: what its result is called, and what is put before its texts, the task says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxpress.errors import InputError
from onnxpress.generation.events import Generated
from onnxpress.pipelines.base import TextPipeline
from onnxpress.pipelines.batching import Request, Row
from onnxpress.pipelines.long_texts import pieces
from onnxpress.pipelines.text_classification import strategy
from onnxpress.pipelines.text_stream import TextStream
from onnxpress.pipelines.writing import Call, Writer, details, read_json, stop_strings
from onnxpress.text.tokenizer import Encoding, Truncation

#: transformers' own for these tasks, where the checkpoint says nothing.
USUAL = {"max_new_tokens": 256, "num_beams": 4}


@dataclass(frozen=True, slots=True)
class RewriteOptions:
    """transformers' arguments of a call; others are settings of generation, or `response_format`, `json_schema`,
    `regex` or `grammar`, which hold the text to a form.

    A text that is longer than the model takes is an error, unless `truncation=True` cuts it, or `overflow="chunk"`
    makes pieces of it at the ends of sentences, each of which is answered for itself; the answers are joined.
    `prefix` is put before texts; None: what the checkpoint has for the task. `stop_sequence`: strings that end the
    text, which has them. `return_tensors`: token ids instead of text. `return_details` adds finish_reason,
    prompt_tokens and completion_tokens.
    """

    prefix: str | None = None
    truncation: Any = None
    overflow: str | None = None
    stop_sequence: str | Sequence[str] | None = None
    return_tensors: bool = False
    return_text: bool | None = None
    return_details: bool = False
    clean_up_tokenization_spaces: bool | None = None
    generate_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.overflow not in (None, "chunk"):
            raise InputError(f'overflow is {self.overflow!r}; it may be None (an error) or "chunk".')
        if self.overflow and strategy(self.truncation):
            raise InputError('truncation=True cuts a long text, overflow="chunk" makes pieces of it: pass one.')
        if not isinstance(self.generate_kwargs, Mapping):
            raise InputError("generate_kwargs must be a dictionary.")


@dataclass(frozen=True, slots=True)
class Source:
    """How a text is put to the model: what stands before it, its languages, and settings that they bring."""

    prefix: str = ""
    source_language: str | None = None
    target_language: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Written:
    """`read`: tokens of the encoder's row; `begin`: how the decoder's row begins; `texts`: what follows."""

    read: int
    begin: Sequence[int]
    texts: Sequence[Generated]


class Rewriter:
    """Reads and writes for one pipeline. `params`: `task_specific_params` of the checkpoint's config."""

    def __init__(self, pipe: TextPipeline[Any], name: str, writer: Writer) -> None:
        self._pipe = pipe
        self._name = name
        self.writer = writer
        config = read_json(pipe.artifact, "config.json")
        self.prefix = str(config.get("prefix") or "")
        params = config.get("task_specific_params")
        self.params: dict[str, Mapping[str, Any]] = dict(params) if isinstance(params, Mapping) else {}

    def source(self, task: str) -> Source:
        """What the checkpoint has for a task of this name."""
        params = dict(self.params.get(task) or {})
        prefix = params.pop("prefix", self.prefix)
        return Source(str(prefix or ""), settings=params)

    def call(self, options: RewriteOptions, source: Source, single: bool = False) -> Call:
        """The settings of a call."""
        of_task = {**source.settings, **stop_strings(options.stop_sequence)}
        return self.writer.call(options.generate_kwargs, single, **of_task)

    def request(self, item: Any, options: RewriteOptions, source: Source) -> Request[tuple[str, ...]]:
        """One text as rows; with each row goes the space that stands behind its piece.

        Raises:
            InputError: not a text, or one that is too long.
        """
        task = self._pipe.task
        if not isinstance(item, str):
            raise InputError(f"{task} takes a text or a list of texts, got {type(item).__name__} {item!r:.60}.")
        prefix = source.prefix if options.prefix is None else options.prefix

        def encode(text: str, truncation: Truncation | None = None) -> Encoding:
            return self._pipe.tokenizer.encode(
                prefix + text,
                truncation=truncation,
                source_language=source.source_language,
                target_language=source.target_language,
            )

        chosen = strategy(options.truncation)
        whole = encode(item, None if chosen is None else self._pipe.truncation(chosen))
        limit = self._pipe.limit()
        if limit is None or len(whole.ids) <= limit:
            return Request((Row(whole.ids),), ("",))
        if options.overflow is None:
            raise InputError(
                f"The text has {len(whole.ids)} tokens, the model takes at most {limit}. Pass truncation=True to cut "
                'it, or overflow="chunk" to answer it in pieces.'
            )
        parts = pieces(item, lambda text: len(encode(text).ids) <= limit)
        return Request(tuple(Row(encode(text).ids) for text, _ in parts), tuple(space for _, space in parts))

    def write(self, rows: Sequence[Row], options: RewriteOptions, source: Source) -> list[_Written]:
        """What is written about each row."""
        call = self.call(options, source)
        begin = self.writer.begin(call)
        return [
            _Written(len(row.ids), begin, texts) for row, texts in zip(rows, self.writer.write(rows, call), strict=True)
        ]

    def results(
        self, spaces: Sequence[str], values: Sequence[_Written], options: RewriteOptions
    ) -> list[dict[str, Any]]:
        """One result for each text that was asked for of an input, whose pieces are joined."""
        read, begin = sum(value.read for value in values), values[0].begin
        return [
            self._result(spaces, begin, texts, read, options)
            for texts in zip(*(value.texts for value in values), strict=True)
        ]

    def stream(self, item: Any, options: RewriteOptions, source: Source) -> TextStream:
        """The text of one input, piece by piece."""
        call = self.call(options, source, single=True)
        rows = self.request(item, options, source).rows
        if len(rows) != 1:
            raise InputError("A text that is answered in pieces cannot be streamed. Call the pipeline.")
        text = self._pipe.tokenizer.stream_decoder(cleans_up=options.clean_up_tokenization_spaces)
        return TextStream(self.writer, rows[0], call, text)

    def _result(
        self,
        spaces: Sequence[str],
        begin: Sequence[int],
        texts: Sequence[Generated],
        read: int,
        options: RewriteOptions,
    ) -> dict[str, Any]:
        more = details(texts, read) if options.return_details else {}
        if options.return_tensors:
            return {f"{self._name}_token_ids": [*begin, *(token for text in texts for token in text.ids)], **more}
        written = [
            self._pipe.tokenizer.decode(
                text.ids, skip_special_tokens=True, cleans_up=options.clean_up_tokenization_spaces
            )
            for text in texts
        ]
        joined = "".join(text + space for text, space in zip(written, spaces, strict=True))
        return {f"{self._name}_text": joined, **more}


def flattened(call: Callable[..., Any], inputs: Any, options: Mapping[str, Any]) -> Any:
    """As in transformers 4, a list of texts gives a list of results, not of lists, where each has one."""
    results = call(inputs, **options)
    if isinstance(inputs, (list, tuple)) and all(len(one) == 1 for one in results):
        return [one[0] for one in results]
    return results
