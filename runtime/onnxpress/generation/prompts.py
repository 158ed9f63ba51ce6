"""Before a search begins: what is wrong with its call, and what of the prompts the decoder has read already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxpress.errors import InputError
from onnxpress.generation.decoder import Decoder, Ids, Logits
from onnxpress.generation.events import Hooks
from onnxpress.generation.settings import GenerationConfig

#: Longer prompts are read one by one: in one call each, and what they have in common once.
SHORT = 8


def check_call(config: GenerationConfig, hooks: Hooks) -> None:
    """Settings that exclude each other, and stop strings without a hook that knows text.

    Raises:
        InputError: which.
    """
    config.check()
    if config.stop_strings and hooks.ended is None:
        raise InputError(f"stop_strings={list(config.stop_strings)} need a hook that reads text: none was given")


def checked(prompts: Sequence[Sequence[int]], decoder: Decoder) -> Sequence[Sequence[int]]:
    """The prompts, if there is one for each row and none is empty.

    Raises:
        InputError: which is not so.
    """
    if len(prompts) != len(decoder.lengths):
        raise InputError(f"{len(prompts)} prompts for a decoder of {len(decoder.lengths)} rows: one for each is needed")
    for number, prompt in enumerate(prompts):
        if not len(prompt):
            raise InputError(f"prompt {number} has no token: a text begins with at least one, such as bos_token_id")
    return prompts


def unread(decoder: Decoder, row: int, prompt: Ids) -> Ids:
    """The tokens of a prompt, int64, that the row does not hold: the last one at least, which is then forgotten."""
    known = min(decoder.lengths[row], len(prompt) - 1)
    if known < decoder.lengths[row]:
        decoder.truncate(row, known)
    return prompt[known:]


def read_together(decoder: Decoder, prompts: Sequence[Ids], normalizers: bool = False) -> Logits | None:
    """Read short prompts of equal length, a token of every row at a time: in no more calls than there are prompts.

    Returns float32 (rows, vocabulary), as `Decoder.step` does; None: nothing was read, as this does not suit them.
    """
    lengths = {len(prompt) for prompt in prompts}
    if len(lengths) != 1 or max(lengths) > min(SHORT, len(prompts)) or any(decoder.lengths):
        return None
    scores = None
    for tokens in np.stack(prompts, axis=1):
        scores = decoder.step(tokens, normalizers)
    return scores
