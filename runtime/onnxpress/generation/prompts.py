"""Prepares prompts for a search: checks them, finds what is unread, and cuts it into chunks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxpress.errors import InputError
from onnxpress.generation.decoder import Decoder, Ids, Logits

#: Longer prompts are read one by one: in one call each, and what they have in common once.
SHORT = 8


def check_prompts(prompts: Sequence[Sequence[int]], decoder: Decoder) -> None:
    """Make sure that there is a prompt for each row of a decoder, and that none is empty.

    Raises:
        InputError: which is not so.
    """
    if len(prompts) != len(decoder.lengths):
        raise InputError(f"{len(prompts)} prompts for a decoder of {len(decoder.lengths)} rows: one for each is needed")
    for number, prompt in enumerate(prompts):
        if not len(prompt):
            raise InputError(f"prompt {number} has no token: a text begins with at least one, such as bos_token_id")


def chunk_end(start: int, stop: int, size: int) -> int:
    """The end of a chunk of about `size` tokens that begins at `start`, of tokens up to `stop`.

    No token is left alone for the last chunk: 4-bit products of one token go through another kernel, which rounds
    differently.
    """
    return stop if stop - start <= size + 1 else start + size


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
