"""What fetching a file may take. Apart from what fetches, whose imports take long and are seldom needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onnxpress.errors import InputError


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What fetching one picture may take, or another file, redirects included. `accept`: what a server is asked for."""

    seconds: float = 10.0
    bytes: int = 32 * 2**20
    redirects: int = 3
    accept: str = "image/*"


PICTURE = FetchLimits()

#: A sound: an hour of it is about so large where it is compressed.
SOUND = FetchLimits(seconds=30.0, bytes=64 * 2**20, accept="audio/*, video/*, application/ogg, */*;q=0.5")


def limits_where_allowed(allow_urls: Any, limits: FetchLimits) -> FetchLimits | None:
    """What fetching may take; None: the caller does not allow it.

    Raises:
        InputError: it is neither allowed nor not.
    """
    if not isinstance(allow_urls, bool):
        raise InputError(f"allow_urls is {allow_urls!r:.60}; it must be True or False.")
    return limits if allow_urls else None
