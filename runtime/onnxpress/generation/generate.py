"""Greedy search and sampling: rows whose prompts are read and which then step together. Knows token ids alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from onnxpress.errors import InputError
from onnxpress.generation.decoder import Decoder, Logits
from onnxpress.generation.events import NO_HOOKS, Event, Generated, Hooks, collect
from onnxpress.generation.pool.moves import filled
from onnxpress.generation.prompts import check_call, checked, read_together, unread
from onnxpress.generation.row import Row, rows_of
from onnxpress.generation.search.beams import beam_search
from onnxpress.generation.search.speculation import speculate
from onnxpress.generation.settings import GenerationConfig


def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    *,
    texts: Sequence[Sequence[int]] | None = None,
    hooks: Hooks = NO_HOOKS,
    logprobs: bool = False,
) -> Iterator[Event]:
    """Continue each prompt, one row of the decoder for each; every token is an event as soon as it is known.

    What a row of the decoder holds already has to be the beginning of its prompt, and is not read again. After an
    encoder, `prompts` is how the decoder's text begins and `texts` what the encoder read, both for each text.
    `num_return_sequences` multiplies the rows. Closing the iterator stops; the decoder is the caller's to close, and
    when one row was asked for it holds that row's tokens, but for the last one.

    Raises:
        InputError: settings that do not go together, beams, a prompt that is empty or leaves no room. At once; while
            it writes only where the rules leave no token.
    """
    check_call(config, hooks)
    if config.num_beams > 1:
        raise InputError(f"num_beams={config.num_beams} cannot be streamed: use beam_search, or num_beams=1")
    groups = [
        rows_of(number, prompt, config, decoder.limit, texts[number] if texts else prompt, hooks, logprobs)
        for number, prompt in enumerate(checked(prompts, decoder))
    ]
    if config.prompt_lookup_num_tokens:
        return speculate(decoder, [group[0] for group in groups], config, hooks.cancelled)
    return _run(decoder, groups, hooks, config.num_return_sequences if texts else 1)


def complete(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    *,
    texts: Sequence[Sequence[int]] | None = None,
    hooks: Hooks = NO_HOOKS,
    logprobs: bool = False,
) -> list[list[Generated]]:
    """For each prompt its `num_return_sequences` texts, whole, by the search that the settings ask for.

    Arguments and errors: as of `generate` and `beam_search`, which has no `logprobs`.
    """
    if config.num_beams > 1:
        return beam_search(decoder, prompts, config, texts=texts, hooks=hooks)
    events = generate(decoder, prompts, config, texts=texts, hooks=hooks, logprobs=logprobs)
    return collect(events, prompts, config.num_return_sequences)


def _run(decoder: Decoder, groups: list[list[Row]], hooks: Hooks, together: int) -> Iterator[Event]:
    cancelled = hooks.cancelled or _never
    prompts = [group[0].ids[: group[0].prompt] for group in groups]
    first = None if cancelled() else read_together(decoder, prompts)
    for number, group in enumerate(groups):
        if first is None and cancelled():
            break
        scores = (
            decoder.prefill(number, unread(decoder, number, prompts[number]))[0] if first is None else first[number]
        )
        for row in group:
            yield from row.take(scores if row is group[-1] else scores.copy())
    else:
        lanes = [row for group in groups for row in group]
        if len(lanes) > len(groups):
            decoder.select([number for number, group in enumerate(groups) for _ in group])
        while lanes := _running(decoder, lanes, together):
            if cancelled():
                break
            for row, scores in zip(lanes, _step(decoder, lanes), strict=True):
                if row.finish is None:
                    yield from row.take(scores)
    for row in (row for group in groups for row in group if row.finish is None):
        yield row.cancel()


def _running(decoder: Decoder, lanes: list[Row], together: int) -> list[Row]:
    """The decoder's rows without those that are finished, `together` side by side being kept while one of them runs."""
    starts = range(0, len(lanes), together)
    running = [start for start in starts if any(row.finish is None for row in lanes[start : start + together])]
    if len(running) == len(starts):
        return lanes
    kept = [start * together + place for start in filled([s // together for s in running]) for place in range(together)]
    if kept:
        decoder.select(kept)
    return [lanes[lane] for lane in kept]


def _step(decoder: Decoder, lanes: list[Row]) -> Logits:
    """What may follow in each row, float32 (rows, vocabulary), once the decoder has read what is pending."""
    if len(lanes) == 1 and len(lanes[0].pending) > 1:
        return decoder.prefill(0, lanes[0].pending)
    for lane, row in enumerate(lanes):
        if len(row.pending) > 1 and row.finish is None:
            decoder.prefill(lane, row.pending[:-1])
    scores = decoder.step(np.array([row.pending[-1] for row in lanes], np.int64))
    for lane, row in enumerate(lanes):
        # It steps for its neighbours' sake, and does not grow.
        if row.finish is not None:
            decoder.truncate(lane, decoder.lengths[lane] - 1)
    return scores


def _never() -> bool:
    return False
