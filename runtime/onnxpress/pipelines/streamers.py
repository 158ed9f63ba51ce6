"""transformers' ways to follow a text while it is written (`streamer=`) and to end it in time (`max_time=`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from onnxpress.errors import InputError
from onnxpress.generation.decoder import Decoder
from onnxpress.generation.events import Event, Generated, Hooks, collect
from onnxpress.generation.generate import generate
from onnxpress.generation.settings import GenerationConfig


class Streamer(Protocol):
    """What is told a text while it is written, such as transformers' TextStreamer."""

    def put(self, value: Any) -> Any:
        """First the prompt's ids, int64 (1, tokens), then each new id, int64 (1,)."""

    def end(self) -> Any:
        """The text is complete."""


def streamed(
    streamer: Streamer,
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    texts: Sequence[Sequence[int]] | None,
    hooks: Hooks,
) -> list[list[Generated]]:
    """Write one text and tell the streamer its tokens.

    Raises:
        InputError: several texts or beams, or an object that is no streamer.
    """
    if not callable(getattr(streamer, "put", None)) or not callable(getattr(streamer, "end", None)):
        raise InputError(f"streamer={streamer!r:.60}: an object with the methods put and end, or use pipe.stream(...).")
    if len(prompts) > 1 or config.num_beams > 1 or config.num_return_sequences > 1:
        raise InputError(
            "A streamer is told one text: pass one input, and num_beams=1 and num_return_sequences=1 with it."
        )

    def told() -> Iterator[Event]:
        for event in generate(decoder, prompts, config, texts=texts, hooks=hooks):
            if event.token is not None:
                streamer.put(np.array([event.token], dtype=np.int64))
            yield event

    streamer.put(np.array(prompts, dtype=np.int64))
    generated = collect(told(), prompts)
    streamer.end()
    return generated


def in_turn(options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a call with which a streamer is told several texts one after the other, in their order."""
    return {"batch_size": 1, **options} if options.get("streamer") is not None else dict(options)


def within(seconds: float | None, cancelled: Callable[[], bool] | None) -> Callable[[], bool] | None:
    """A hook that ends a text when its time is over, but not before its first token, or when `cancelled` does."""
    if seconds is None:
        return cancelled
    deadline, begun = time.monotonic() + seconds, False

    def over() -> bool:
        nonlocal begun
        late = begun and time.monotonic() > deadline
        begun = True
        return late or (cancelled is not None and cancelled())

    return over
