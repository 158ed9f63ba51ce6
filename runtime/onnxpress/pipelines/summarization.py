"""summarization: a short text that says what a long one does. The schema is transformers 4's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from onnxpress.engine.session import Session
from onnxpress.format.artifact import Artifact
from onnxpress.pipelines.base import Common, TextPipeline
from onnxpress.pipelines.batching import Request, Row
from onnxpress.pipelines.rewriting import USUAL, RewriteOptions, Rewriter, flattened
from onnxpress.pipelines.text_stream import TextStream
from onnxpress.pipelines.writing import ROWS, Writer
from onnxpress.text.tokenizer import Tokenizer


class Summarization(TextPipeline[RewriteOptions]):
    """`pipe(text)` -> `[{"summary_text": str}]`, with `num_return_sequences` so many in the list.

    A list of texts gives a list of `{"summary_text": str}`. `stream` hands one text out while it is written.
    """

    task = "summarization"
    options_type = RewriteOptions
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
        self.rewriter = Rewriter(self, "summary", Writer(artifact, session, tokenizer, USUAL))
        self._source = self.rewriter.source(self.task)
        self.rewriter.call(self.options, self._source)

    def __call__(self, inputs: Any, **options: Any) -> Any:
        return flattened(super().__call__, inputs, options)

    def stream(self, inputs: str, **options: Any) -> TextStream:
        """The text piece by piece: an iterator that has `usage` and `finish_reason` at its end. One beam."""
        return self.rewriter.stream(inputs, self._options(self.options, options), self._source)

    def prepare(self, item: Any, options: RewriteOptions) -> Request[Any]:
        self.rewriter.call(options, self._source)
        return self.rewriter.request(item, options, self._source)

    def compute(self, rows: Sequence[Row], options: RewriteOptions) -> Sequence[Any]:
        return self.rewriter.write(rows, options, self._source)

    def finish(self, context: Any, values: list[Any], options: RewriteOptions) -> list[dict[str, Any]]:
        return self.rewriter.results(context, values, options)
