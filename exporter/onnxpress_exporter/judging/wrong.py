"""Which figures are so far from perfect that speed means little beside them."""

from __future__ import annotations

from collections.abc import Mapping

#: figure -> the worst value that still counts as the model's answers: what the gate lets pass of weights of 4 bits,
#: the loosest of its tables. A floor, or for differences a ceiling.
FLOORS: Mapping[str, float] = {"cosine, worst": 0.95, "agreement": 0.85}
CEILINGS: Mapping[str, float] = {"largest score difference": 0.3, "word error": 0.05}


def is_wrong(name: str, value: float | None) -> bool:
    """Whether a figure is so far from perfect that speed means little beside it. NaN, or None for it, is wrong."""
    if value is None:
        return True
    floors = [floor for end, floor in FLOORS.items() if name.endswith(end)]
    ceilings = [ceiling for end, ceiling in CEILINGS.items() if name.endswith(end)]
    return any(not value >= floor for floor in floors) or any(not value <= ceiling for ceiling in ceilings)
