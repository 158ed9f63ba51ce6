"""What structured output asks of the loop: one object for each row, told every token. Knows no grammar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from onnxpress.generation.rules import Scores


class Constraint(Protocol):
    """Which tokens may come next in one row. Not for beams: a row's state is never copied."""

    def restrict(self, scores: Scores) -> None:
        """Set what may not come to minus infinity, in place: float32 (vocabulary), before sampling's own rules."""

    def advance(self, token: int) -> None:
        """Note the token that was taken. Not called for a token that ends the text."""

    def forced(self) -> Sequence[int]:
        """The tokens that must come now, whatever their scores; often none. The loop then advances over each."""

    @property
    def ended(self) -> bool:
        """Nothing may follow, not even a token that ends the text: the row finishes with "stop"."""
