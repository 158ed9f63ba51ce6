"""What a decoder refuses: tokens that its graph does not know, and rows that are too long. Knows no graph."""

from __future__ import annotations

from onnxpress.errors import InputError
from onnxpress.generation.decoder import Ids


def check_keep(count: int, keep: int) -> None:
    """Refuse to read no tokens, or fewer than those whose scores are asked for.

    Raises:
        InputError: how many of which.
    """
    if not 1 <= keep <= count:
        raise InputError(f"{count} tokens to read, and the scores of {keep} are asked for.")


def check_tokens(ids: Ids, vocabulary: int) -> None:
    """Refuse tokens, int64 of any shape, that the model has no scores for.

    Raises:
        InputError: which tokens there are.
    """
    if ids.min() < 0 or ids.max() >= vocabulary:
        raise InputError(f"Tokens are from 0 to {vocabulary - 1}; there are {ids.min()} to {ids.max()}.")


def check_length(tokens: int, limit: int | None) -> None:
    """Refuse a row of more tokens than the model takes; None: it takes any number.

    Raises:
        InputError: both numbers.
    """
    if limit is not None and tokens > limit:
        raise InputError(f"A row would have {tokens} tokens; this model takes {limit} at most.")
