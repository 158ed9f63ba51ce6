"""Which of two variants of a model writes a text, by how many are written: few are soonest written with the fewest
bytes of weights, many with the quickest products. A text is wholly of the variant that was chosen when it began.

The second variant is opened when several texts are written at once for the first time, and its steps are timed beside
the first one's (`step_times`). Where it is not faster with as many texts as the server writes at once, it is closed
again, and the first one stays alone. It is also closed when no text was for it for a while. Pure but for the versions
that it holds; the registry opens and closes them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from onnxpress.serve.step_times import Crossover, StepTimes, crossover
from onnxpress.serve.versions import Version

#: Texts at once from which the second variant is tried: with fewer, reading the weights is what takes the time.
TRIED_FROM = 4

#: For how long the most texts that there were count, seconds: nothing goes to and fro in that time.
HOLD_S = 10.0

#: After which a second variant is closed that no text was for; and it is tried again after a failure.
IDLE_S, AGAIN_S = 120.0, 60.0


class Peak:
    """The most of what was noted in the latest seconds."""

    def __init__(self, hold_s: float = HOLD_S) -> None:
        self._hold_s = hold_s
        self._noted: deque[tuple[float, int]] = deque()  # (when, how many), later ones smaller

    def note(self, count: int, now: float) -> int:
        """Note a number; the most from `hold_s` before until now."""
        while self._noted and self._noted[-1][1] <= count:
            self._noted.pop()
        self._noted.append((now, count))
        while self._noted[0][0] < now - self._hold_s:
            self._noted.popleft()
        return self._noted[0][1]


@dataclass(eq=False, slots=True)
class ByLoad:
    """Of one opening of a model. `second`: the variant that may be faster with many texts. `most`: texts that are
    written at once. `why`: what is known of it, in words. `crossover`: None: it was not timed, or is not faster."""

    first: Version
    second: str
    most: int
    why: str = ""
    version: Version | None = None
    crossover: Crossover | None = None
    opening: bool = False
    #: Whether texts go to the second variant now.
    many: bool = False
    not_before: float = 0.0
    #: When a text went to the second variant last.
    used: float = 0.0
    peak: Peak = field(default_factory=Peak)
    _latest: int = 0

    def __post_init__(self) -> None:
        self.why = f"{self.second} is tried when {self.tried_from} texts are written at once"

    @property
    def tried_from(self) -> int:
        """Texts at once from which the second variant is wanted."""
        return min(TRIED_FROM, self.most) if self.crossover is None else self.crossover.up

    @property
    def versions(self) -> list[Version]:
        """What is open."""
        return [self.first] if self.version is None else [self.first, self.version]

    def pick(self, now: float) -> Version:
        """Whose a text is that begins now."""
        texts = 1 + sum(max(version.uses, version.texts) for version in self.versions)
        self._latest = self.peak.note(texts, now)
        if self.version is None or self.crossover is None:
            return self.first
        self.many = self._latest > self.crossover.down if self.many else self._latest >= self.crossover.up
        self.used = now if self.many else self.used
        return self.version if self.many else self.first

    def wanted(self, now: float) -> bool:
        """Whether the second variant should be opened."""
        return self.version is None and not self.opening and self._latest >= self.tried_from and now >= self.not_before

    def timed(self, first: StepTimes, second: StepTimes) -> bool:
        """Take in what was measured; whether the second variant is of use."""
        self.crossover = crossover(first, second, self.most)
        share = second.at(self.most) / first.at(self.most)
        names = f"{self.second} takes {share:.2f} of {self.first.main.precision}'s time with {self.most} texts at once"
        if self.crossover is None:
            self.not_before = float("inf")
            self.why = f"{names}, which is not surely less"
            return False
        self.why = f"{names}, and is faster from {self.crossover.up} on; from {self.crossover.down} down it is not"
        return True

    def failed(self, why: str, now: float) -> None:
        """The second variant could not be opened."""
        self.why, self.not_before = why, now + AGAIN_S

    def close(self) -> None:
        """Take the second variant out: texts that begin go to the first."""
        self.version, self.many = None, False

    def status(self) -> dict[str, object]:
        """For /ready, /status and the page."""
        return {
            "variant": self.second,
            "open": self.version is not None,
            "writes": self.many,
            "from_texts": None if self.crossover is None else self.crossover.up,
            "until_texts": None if self.crossover is None else self.crossover.down,
            "why": self.why,
        }
