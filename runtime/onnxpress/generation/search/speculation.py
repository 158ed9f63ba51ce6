"""Greedy search with guesses: it reads the last tokens, and what followed them earlier in the text, in one call.

Guesses that the model would not have made are forgotten, so the tokens are those of plain greedy search. (Saxena:
Prompt Lookup Decoding, 2023.)
"""

from __future__ import annotations

from collections.abc import Iterator

from onnxpress.generation.decoder import Decoder
from onnxpress.generation.events import Event
from onnxpress.generation.row import Row
from onnxpress.generation.rules import Ids, places_after
from onnxpress.generation.settings import GenerationConfig


def advance(decoder: Decoder, slot: int, row: Row, config: GenerationConfig) -> Iterator[Event]:
    """Read the pending tokens and guesses of the next ones in one call; yields each right guess, and one token more."""
    # The last token that may come is never read, so it need not be guessed.
    most = min(config.prompt_lookup_num_tokens, row.left - 1)
    guesses = guess(row.ids[: row.length], most, config.max_matching_ngram_size)
    start = row.length
    scores = decoder.prefill(slot, [*row.pending, *guesses], len(guesses) + 1)
    place = 0
    try:
        for place, guessed in enumerate([*guesses, None]):
            yield from row.take(scores[place])
            if row.finish is not None or row.pending != [guessed]:
                break
    finally:
        # So many guesses came true; what else the decoder has read was wrong, or is not needed.
        if start + place < decoder.lengths[slot]:
            decoder.truncate(slot, start + place)


def guess(ids: Ids, most: int, longest: int) -> list[int]:
    """Up to `most` tokens: those after the latest earlier place of the last `longest` tokens, or of fewer of them."""
    for size in range(min(longest, len(ids) - 1), 0, -1):
        places = places_after(ids, size)
        if most > 0 and len(places):
            return [int(token) for token in ids[places[-1] :][:most]]
    return []
