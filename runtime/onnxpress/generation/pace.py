"""How many tokens of a prompt are read between two steps of the texts that are being written.

Fitted while it runs: what a step takes and what a token of a prompt takes, so that a step and a chunk together take no
longer than whoever reads a stream is to wait for its next token: a few times what it usually waits. Knows no model.
"""

from __future__ import annotations

#: A chunk is never shorter, or prompts would never be read; nor longer, as nothing is gained by it.
LEAST_TOKENS, MOST_TOKENS = 16, 256

#: Whoever reads a stream notices a gap that is many times the usual one; but none that is so short, seconds.
_USUAL_GAPS, _UNNOTICED_S = 3.0, 0.03

#: The share of a new measurement in what is expected.
_SHARE = 0.2


class Pace:
    """Arguments:
    target_s: the most seconds between two tokens of a stream.
    first_tokens: of a chunk, as long as nothing was measured.
    """

    def __init__(self, target_s: float = 0.15, first_tokens: int = 64) -> None:
        self.target_s = target_s
        self._first_tokens = first_tokens
        self._step_s: float | None = None
        self._token_s: float | None = None

    @property
    def tokens(self) -> int:
        """Tokens of the next chunk."""
        if self._token_s is None:
            return self._first_tokens
        step_s = self._step_s or 0.0
        left_s = min(self.target_s, max(_USUAL_GAPS * step_s, _UNNOTICED_S)) - step_s
        return int(min(max(left_s / max(self._token_s, 1e-9), LEAST_TOKENS), MOST_TOKENS))

    def note_step(self, seconds: float) -> None:
        """A step of all that write took so long."""
        self._step_s = _mixed(self._step_s, seconds)

    def note_chunk(self, tokens: int, seconds: float) -> None:
        """So many tokens of a prompt took so long."""
        if tokens >= LEAST_TOKENS:  # of a few tokens most is the call
            self._token_s = _mixed(self._token_s, seconds / tokens)


def _mixed(before: float | None, new: float) -> float:
    return new if before is None else before + _SHARE * (new - before)
