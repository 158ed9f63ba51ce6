"""What may be read of one sound."""

from __future__ import annotations

from dataclasses import dataclass

from onnxpress.errors import InputError
from onnxpress.fetching.limits import FetchLimits

#: Of one sound, at its own rate: 12 hours at 16 kHz, which take 2.8 GB as float32.
MAX_SAMPLES = 700_000_000

MAX_CHANNELS = 64


@dataclass(frozen=True, slots=True)
class SoundLimits:
    """`seconds`: a sound that lasts longer is refused before it is read; None: that of MAX_SAMPLES. `enough`: so many
    seconds from the beginning are all that is read of it; None: all of it is. `urls`: what fetching it from an address
    may take; None: no address is fetched. `endless`: blocks that come from an iterator may go on for ever."""

    seconds: float | None = None
    enough: float | None = None
    urls: FetchLimits | None = None
    endless: bool = False

    def samples(self, rate: int) -> int | None:
        """How many samples at a rate are read; None: all."""
        return None if self.enough is None else int(self.enough * rate) + 1

    def check_length(self, name: str, samples: int, rate: int) -> None:
        """Refuse a sound of too many samples at a rate.

        Raises:
            InputError: it has more, and all of them would be read.
        """
        if self.enough is not None:
            return
        if self.seconds is not None and samples > self.seconds * rate:
            raise InputError(
                f"{name} lasts {samples / rate:.0f} seconds or longer, and this model is given all of it at once; "
                f"{self.seconds:g} are read. Cut it, or pass max_seconds."
            )
        if samples > MAX_SAMPLES:
            raise InputError(f"{name} has {samples} samples, more than the {MAX_SAMPLES} that are read: cut it.")
