"""translation: a text in another language. The schema is transformers 4's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.format.artifact import Artifact
from onnxpress.pipelines.base import Common, TextPipeline
from onnxpress.pipelines.batching import Request, Row
from onnxpress.pipelines.rewriting import USUAL, RewriteOptions, Rewriter, Source, flattened
from onnxpress.pipelines.text_stream import TextStream
from onnxpress.pipelines.writing import ROWS, Writer
from onnxpress.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Options(RewriteOptions):
    """`src_lang`, `tgt_lang`: as the checkpoint names languages ("en", "eng_Latn"), where it knows several.
    `task_languages`: those of the alias `translation_xx_to_yy`, which checkpoints of one pair need not know."""

    src_lang: str | None = None
    tgt_lang: str | None = None
    task_languages: tuple[str, str] | None = None


class Translation(TextPipeline[Options]):
    """`pipe(text, src_lang="en", tgt_lang="de")` -> `[{"translation_text": str}]`, with `num_return_sequences` so many.

    A list of texts gives a list of `{"translation_text": str}`. `stream` hands one text out while it is written.
    """

    task = "translation"
    options_type = Options
    collects: ClassVar[str | None] = "generate_kwargs"
    usual = Common(batch_size=ROWS)
    window_rows = 8 * ROWS

    def __init__(
        self,
        artifact: Artifact,
        session: Session,
        tokenizer: Tokenizer,
        precision: str,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(artifact, session, tokenizer, precision, options)
        self.rewriter = Rewriter(self, "translation", Writer(artifact, session, tokenizer, USUAL))
        self.rewriter.call(self.options, Source())

    def __call__(self, inputs: Any, **options: Any) -> Any:
        return flattened(super().__call__, inputs, options)

    def stream(self, inputs: str, **options: Any) -> TextStream:
        """The text piece by piece: an iterator that has `usage` and `finish_reason` at its end. One beam."""
        chosen = self._options(self.options, options)
        return self.rewriter.stream(inputs, chosen, self._source(chosen))

    def prepare(self, item: Any, options: Options) -> Request[Any]:
        return self.rewriter.request(item, options, self._source(options))

    def compute(self, rows: Sequence[Row], options: Options) -> Sequence[Any]:
        return self.rewriter.write(rows, options, self._source(options))

    def finish(self, context: Any, values: list[Any], options: Options) -> list[dict[str, Any]]:
        return self.rewriter.results(context, values, options)

    def _source(self, options: Options) -> Source:
        """How a text is put to the model in the languages of a call.

        Raises:
            InputError: the model does not know them, or there are several and none was chosen.
        """
        pair = options.task_languages or (None, None)
        source, target = options.src_lang or pair[0], options.tgt_lang or pair[1]
        languages = self.tokenizer_settings.languages
        if languages is not None and languages.codes:
            return self._with_languages(source, target, options)
        task = f"translation_{source}_to_{target}"
        known = [name for name in self.rewriter.params if name.startswith("translation_")]
        if task in known or (len(known) == 1 and source is None and target is None):
            return self.rewriter.source(task if task in known else known[0])
        if known and options.prefix is None:
            pairs = ", ".join(name.removeprefix("translation_") for name in known)
            raise InputError(f"Pass src_lang and tgt_lang. This model translates: {pairs}.")
        if options.src_lang is not None or options.tgt_lang is not None:
            raise InputError("This model translates one pair of languages: leave src_lang and tgt_lang out.")
        return self.rewriter.source(self.task)

    def _with_languages(self, source: str | None, target: str | None, options: Options) -> Source:
        languages = self.tokenizer_settings.languages
        assert languages is not None
        found = replace(self.rewriter.source(self.task), source_language=source, target_language=target)
        if languages.target != "forced":
            return found
        target = target or languages.default_target
        if target is None:
            if self.rewriter.call(options, found).config.forced_bos_token_id is not None:
                return found
            known = ", ".join(list(languages.codes)[:8]) + (" and others" if len(languages.codes) > 8 else "")
            raise InputError(f"Pass tgt_lang, the language to translate into. This model knows {known}.")
        forced = {"forced_bos_token_id": self.tokenizer.language_id(target)}
        return replace(found, target_language=target, settings={**found.settings, **forced})
