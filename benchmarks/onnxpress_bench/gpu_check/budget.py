"""How long the check may take. What there is no time for is left out, and named."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Budget:
    """`seconds` for everything, from now on. `left_out`: what there was no time for, and how long it would have taken.

    `clock`: seconds, from any beginning.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    left_out: list[str] = field(default_factory=list)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @property
    def spent_s(self) -> float:
        return self.clock() - self._began

    def allows(self, what: str, about_s: float) -> bool:
        """Whether there is time for something that takes about so many seconds; noted where there is not."""
        if self.spent_s + about_s <= self.seconds:
            return True
        self.left_out.append(
            f"{what}: about {about_s:.0f} s, and {max(self.seconds - self.spent_s, 0):.0f} s were left"
        )
        return False
