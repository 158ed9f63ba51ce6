"""A text that is handed out while it is written, and what is known of it at the end."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from onnxpress.engine.stopping import Stop, within
from onnxpress.errors import InputError, OnnxpressError
from onnxpress.generation.events import FinishReason
from onnxpress.generation.generate import generate
from onnxpress.pipelines.writing import Writer, WritingSettings
from onnxpress.samples import Sample
from onnxpress.text.tokenizer import StreamDecoder


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a call. `cached_tokens`: those of the prompt that were not read, because an earlier call had."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


@runtime_checkable
class ShowsText(Protocol):
    """A pipeline whose answers may be shown while they are written."""

    task: str

    def streams(self, options: Mapping[str, Any]) -> bool:
        """Whether a call with these options gives one text for each input."""

    def stream(self, inputs: Any, **options: Any) -> TextStream:
        """The text piece by piece."""


class TextStream:
    """An iterator of pieces of text that, joined, are the new text. Not for several threads, but for `cancel`.

    `begun`: tokens that stand before the new ones and are part of the text. After the last piece, `finish_reason` is
    "stop" (a token, a string or a grammar ended the text), "length" (no more tokens were allowed) or "cancelled", and
    `usage` counts tokens. Also a context manager.
    """

    def __init__(
        self,
        writer: Writer,
        sample: Sample,
        call: WritingSettings,
        text: StreamDecoder,
        stop: Stop | None = None,
        begun: Sequence[int] = (),
    ) -> None:
        config = call.config
        if config.num_beams > 1 or config.num_return_sequences > 1:
            raise InputError("A stream is one text: set num_beams=1 and num_return_sequences=1, or call the pipeline.")
        self.finish_reason: FinishReason | None = None
        self.usage: Usage | None = None
        #: The new tokens so far.
        self.ids: list[int] = []
        self._cancelled = threading.Event()
        self._stop = stop
        self._pieces = self._write(writer, sample, call, text, begun)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            with within(self._stop):
                return next(self._pieces)
        except OnnxpressError:
            self._stop = None
            self._pieces.close()
            raise

    def cancel(self) -> None:
        """End the text before its next token. Any thread may call this."""
        self._cancelled.set()

    def close(self) -> None:
        """Stop writing, and free the memory."""
        self._cancelled.set()
        for _ in self._pieces:  # the loop ends at the next token
            pass

    def __enter__(self) -> TextStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(
        self, writer: Writer, sample: Sample, call: WritingSettings, text: StreamDecoder, begun: Sequence[int]
    ) -> Generator[str]:
        decoder, prompts, texts = writer.open([sample], call)
        try:
            for token in begun:
                if piece := text.step(token):
                    yield piece
            hooks = writer.hooks(call, self._cancelled.is_set)
            for event in generate(decoder, prompts, call.config, texts=texts, hooks=hooks):
                if event.finish is not None:
                    self.finish_reason = event.finish
                if event.token is None:
                    continue
                self.ids.append(event.token)
                if piece := text.step(event.token):
                    yield piece
            if rest := text.flush():
                yield rest
        finally:
            self.finish_reason = self.finish_reason or "cancelled"
            # Decoders that remember nothing have no such count.
            cached = getattr(decoder, "reused_tokens", 0)
            self.usage = Usage(len((texts or prompts)[0]), len(self.ids), cached)
            decoder.close()
