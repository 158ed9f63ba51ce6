"""What encoder-decoders do: one text is read, another one is written, in the schema of transformers 4.

summarization, text2text-generation and translation are rows of the task table over the one class here. What differs
stands in the rows' `settings`: `result`, what a result is called, and `languages`, whether a call may name languages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, overload

from onnxpress.errors import InputError
from onnxpress.format.processors import LanguageSettings
from onnxpress.generation.events import Generated
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.collators import token_sample
from onnxpress.pipelines.files import read_json
from onnxpress.pipelines.inputs import Texts, listed
from onnxpress.pipelines.known_arguments import OF_REWRITING
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.long_texts import pieces
from onnxpress.pipelines.rewriting_options import (
    USUAL,
    LanguageOptions,
    RewritingOptions,
    Source,
    SourceSettings,
)
from onnxpress.pipelines.streamers import in_turn
from onnxpress.pipelines.text_processor import TextProcessor, no_tokens, strategy
from onnxpress.pipelines.text_stream import TextStream
from onnxpress.pipelines.writing import ROWS, SETTINGS, WRITTEN_TOGETHER, Writer, WritingSettings, details, stop_strings
from onnxpress.samples import Sample
from onnxpress.text.tokenizer import Encoding, Truncation


@dataclass(frozen=True, slots=True)
class _Written:
    """`read`: tokens that the encoder read; `begin`: those that the decoder begins with; `texts`: what follows."""

    read: int
    begin: Sequence[int]
    texts: Sequence[Generated]


class Rewriting(Pipeline[RewritingOptions, TextProcessor]):
    """`pipe(text)` -> `[{"summary_text": str}]` (`generated_text`, `translation_text`); with `num_return_sequences`, so
    many in the list.

    A list of texts gives a list of `{"summary_text": str}`. `stream` hands one text out while it is written.
    """

    processor_type = TextProcessor
    arguments = OF_REWRITING
    collects: ClassVar[str | None] = "generate_kwargs"
    collected = SETTINGS
    rows = ROWS
    window = 8 * ROWS
    budget = WRITTEN_TOGETHER

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        settings = model.task.settings
        self.options_type = LanguageOptions if settings.get("languages") else RewritingOptions
        super().__init__(model, options)
        self._result_name = str(settings["result"])
        self._sources = SourceSettings.of_config(read_json(model.artifact, "config.json"))
        self.writer = Writer(model.artifact, model.session, self.processor.tokenizer, USUAL)
        # Which languages there are may be said by each call alone; the other options are wrong now if they ever are.
        languages = isinstance(self.options, LanguageOptions)
        self._call(self.options, Source() if languages else self._source(self.options))

    @overload
    def __call__(self, inputs: Any, *, on_error: Literal["return"], **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: Any, *, return_tensors: Any, **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: Any, *, return_details: bool, **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: Texts, *, num_return_sequences: int, **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: str | Texts, **options: Any) -> list[dict[str, str]]: ...
    @overload
    def __call__(self, inputs: Any, **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """As in transformers 4, a list of texts gives a list of results, not of lists, where each has one."""
        inputs = listed(inputs)
        results = super().__call__(inputs, **in_turn(options))
        if not isinstance(inputs, (list, tuple)):
            return results
        if any(isinstance(texts, list) and len(texts) != 1 for texts in results):
            return results
        return [texts[0] if isinstance(texts, list) else texts for texts in results]

    def check(self, options: RewritingOptions) -> None:
        self._call(options, self._source(options))

    def stream(self, inputs: str, **options: Any) -> TextStream:
        """The text piece by piece: an iterator that has `usage` and `finish_reason` at its end. One beam.

        Raises:
            InputError: as a call does, or the text is to be answered in pieces.
        """
        chosen, common = self._arguments(options)
        source = self._source(chosen)
        call = self._call(chosen, source, single=True)
        samples = self._request(inputs, chosen, source).samples
        if len(samples) != 1:
            raise InputError("A text that is answered in pieces cannot be streamed. Call the pipeline.")
        text = self.processor.tokenizer.stream_decoder(cleans_up=chosen.clean_up_tokenization_spaces)
        return TextStream(self.writer, samples[0], call, text, common.stop)

    def prepare(self, item: Any, options: RewritingOptions) -> Prepared[Any]:
        """One text as samples; with each goes the space that stands behind its piece.

        Raises:
            InputError: not a text, or one that is too long; or settings that the model does not have.
        """
        source = self._source(options)
        self._call(options, source)
        return self._request(item, options, source)

    def compute(self, samples: Sequence[Sample], options: RewritingOptions) -> Sequence[Any]:
        """Write a text about each sample."""
        return self.values(samples, self.writer.write(samples, self.call(options), options.streamer), options)

    def call(self, options: RewritingOptions, single: bool = False) -> WritingSettings:
        """The settings of a call; `single`: its one text is followed while it is written."""
        return self._call(options, self._source(options), single)

    def values(
        self, samples: Sequence[Sample], texts: Sequence[Sequence[Generated]], options: RewritingOptions
    ) -> list[Any]:
        """Each sample's texts, and what was read."""
        begin = self.writer.begin(self.call(options))
        return [_Written(sample.cost, begin, some) for sample, some in zip(samples, texts, strict=True)]

    def begun(self, sample: Sample) -> Sequence[int]:
        """None: all of a text is new."""
        return ()

    def finish(self, context: Sequence[str], values: list[Any], options: RewritingOptions) -> list[dict[str, Any]]:
        """One result for each text that was asked for of an input, whose pieces are joined."""
        read, begin = sum(value.read for value in values), values[0].begin
        return [
            self._result(context, begin, texts, read, options)
            for texts in zip(*(value.texts for value in values), strict=True)
        ]

    def _call(self, options: RewritingOptions, source: Source, single: bool = False) -> WritingSettings:
        of_task = {**source.settings, **stop_strings(options.stop_sequence)}
        return self.writer.call(options.generate_kwargs, single, **of_task)

    def _request(self, item: Any, options: RewritingOptions, source: Source) -> Prepared[tuple[str, ...]]:
        if not isinstance(item, str):
            raise InputError(f"{self.task} takes a text or a list of texts, got {type(item).__name__} {item!r:.60}.")
        prefix = source.prefix if options.prefix is None else options.prefix

        def encode(text: str, truncation: Truncation | None = None) -> Encoding:
            encoding = self.processor.tokenizer.encode(
                prefix + text,
                truncation=truncation,
                source_language=source.source_language,
                target_language=source.target_language,
            )
            self.processor.tokenizer.check_ids(encoding.ids)
            return encoding

        chosen = strategy(options.truncation)
        whole = encode(item, None if chosen is None else self.processor.truncation(chosen))
        limit = self.processor.limit()
        if limit is None or len(whole.ids) <= limit:
            if not whole.ids:
                raise no_tokens()
            return Prepared((token_sample(whole.ids),), ("",))
        if options.overflow is None:
            raise InputError(
                f"The text has {len(whole.ids)} tokens, the model takes at most {limit}. Pass truncation=True to cut "
                'it, or overflow="chunk" to answer it in pieces.'
            )
        parts = pieces(item, lambda text: len(encode(text).ids) <= limit)
        return Prepared(tuple(token_sample(encode(text).ids) for text, _ in parts), tuple(space for _, space in parts))

    def _source(self, options: RewritingOptions) -> Source:
        """Choose how the model is asked about a text, in the languages of the call where the task has any.

        Raises:
            InputError: the model does not know them, or there are several and none was chosen.
        """
        if not isinstance(options, LanguageOptions):
            return self._sources.source(self.task)
        languages = self.processor.settings.languages
        if languages is None or not languages.codes:
            return self._sources.translating(self.task, options)
        return self._with_languages(languages, options)

    def _with_languages(self, languages: LanguageSettings, options: LanguageOptions) -> Source:
        source_language, target_language = options.languages
        source = replace(
            self._sources.source(self.task), source_language=source_language, target_language=target_language
        )
        if languages.target != "forced":
            return source
        target = target_language or languages.default_target
        if target is None:
            if self._call(options, source).config.forced_bos_token_id is not None:
                return source
            known = ", ".join(list(languages.codes)[:8]) + (" and others" if len(languages.codes) > 8 else "")
            raise InputError(f"Pass tgt_lang, the language to translate into. This model knows {known}.")
        forced = {"forced_bos_token_id": self.processor.tokenizer.language_id(target)}
        return replace(source, target_language=target, settings={**source.settings, **forced})

    def _result(
        self,
        spaces: Sequence[str],
        begin: Sequence[int],
        texts: Sequence[Generated],
        read: int,
        options: RewritingOptions,
    ) -> dict[str, Any]:
        """Join the texts of the pieces to one result; `spaces` stand behind each."""
        more = details(texts, read) if options.return_details else {}
        if options.return_tensors:
            token_ids = [*begin, *(token for text in texts for token in text.ids)]
            return {f"{self._result_name}_token_ids": token_ids, **more}
        written = [
            self.processor.tokenizer.decode(
                text.ids, skip_special_tokens=True, cleans_up=options.clean_up_tokenization_spaces
            )
            for text in texts
        ]
        joined = "".join(text + space for text, space in zip(written, spaces, strict=True))
        return {f"{self._result_name}_text": joined, **more}
