"""Greedy search and sampling of some texts, from the first token to the last; and whole texts by any search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onnxpress.errors import InputError
from onnxpress.generation.decoder import Decoder
from onnxpress.generation.events import NO_HOOKS, Event, Generated, Hooks, collect
from onnxpress.generation.prompts import check_prompts
from onnxpress.generation.requests import Request, check_call
from onnxpress.generation.scheduler import Scheduler
from onnxpress.generation.search.beams import beam_search
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
    check_prompts(prompts, decoder)
    # Nobody writes yet when the prompts are read: to read them all first takes the fewest calls of the model.
    scheduler = Scheduler(lambda requests: decoder, decoder.limit, chunk_tokens=None, closes=False)
    for number, prompt in enumerate(prompts):
        text = texts[number] if texts else None
        first_row = number * config.num_return_sequences
        scheduler.admit(Request(prompt, config, text, hooks, logprobs, first_row))
    return _events(scheduler)


def _events(scheduler: Scheduler) -> Iterator[Event]:
    while scheduler.busy:
        for _, event in scheduler.step():
            if event.error is not None:
                raise event.error
            yield event


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
