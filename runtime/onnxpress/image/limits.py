"""What fetching a picture may take. Apart from what fetches, whose imports take long and are seldom needed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What fetching one picture may take, redirects included."""

    seconds: float = 10.0
    bytes: int = 32 * 2**20
    redirects: int = 3
