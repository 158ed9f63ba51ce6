"""How long a batch takes: two numbers for each model and variant, measured when it is opened and fitted while it runs.

A batch of `rows` samples, the dearest of which costs `width`, takes `base_s + unit_s * rows * width` seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

#: What a batch weighs in the fit against the one after it: the last fifty or so count.
_FORGETTING = 0.98

#: How far a time may be from the one that was expected; the rest is another program's, which took the cores.
_CREDIBLE = 4.0

#: The least share of the unit's measured time that the fit may come to. Short rows tell little of it where other
#: programs are about, and a line without a slope has rows of thousands of tokens taken for short ones.
_LEAST_SHARE = 0.5

#: What passes beside a batch, until the next: a tenth of its time.
_BETWEEN = 1.1

#: No time is shorter: seconds for a batch, for a unit of cost.
_LEAST_BASE_S, _LEAST_UNIT_S = 1e-5, 1e-8


@dataclass(slots=True)
class CostLine:
    """The line, and the weighted sums of the batches it is fitted to (of x = rows * width, and seconds y).

    Not thread-safe: one thread computes and notes.
    """

    base_s: float = 1e-3
    unit_s: float = 1e-4
    _least_unit_s: float = _LEAST_UNIT_S
    _weight: float = 0.0
    _x: float = 0.0
    _y: float = 0.0
    _xx: float = 0.0
    _xy: float = 0.0

    def seconds(self, rows: int, width: int) -> float:
        """What a batch is expected to take."""
        return self.base_s + self.unit_s * rows * width

    def row_seconds(self, cost: int) -> float:
        """What a row is expected to take among others: its units, and a share of the batch's own time."""
        return _BETWEEN * (self.unit_s * cost + self.base_s / 4)

    def begin(self, first: tuple[int, float], second: tuple[int, float]) -> None:
        """Draw the line through two measured batches: units of each, and its seconds."""
        (few, short_s), (many, long_s) = sorted((first, second))
        self.unit_s = max((long_s - short_s) / max(many - few, 1), _LEAST_UNIT_S)
        self.base_s = max(short_s - self.unit_s * few, _LEAST_BASE_S)
        self._least_unit_s = max(_LEAST_SHARE * self.unit_s, _LEAST_UNIT_S)
        for units, seconds in ((few, short_s), (many, long_s)):
            self._add(units, seconds, weight=4.0)

    def note(self, rows: int, width: int, seconds: float) -> None:
        """Fit the line to a batch that was computed."""
        units, expected = rows * width, self.seconds(rows, width)
        credible = min(max(seconds, expected / _CREDIBLE), expected * _CREDIBLE)
        for name in ("_weight", "_x", "_y", "_xx", "_xy"):
            setattr(self, name, getattr(self, name) * _FORGETTING)
        self._add(units, credible, weight=1.0)
        spread = self._weight * self._xx - self._x**2
        if spread > 0.01 * self._xx * self._weight:
            slope = (self._weight * self._xy - self._x * self._y) / spread
            self.unit_s = max(slope, self._least_unit_s)
            self.base_s = max((self._y - self.unit_s * self._x) / self._weight, _LEAST_BASE_S)
            return
        # Batches of one size do not tell base from slope: both are scaled to the time that was seen.
        mean_units, mean_seconds = self._x / self._weight, self._y / self._weight
        ratio = mean_seconds / max(self.base_s + self.unit_s * mean_units, _LEAST_BASE_S)
        self.unit_s = max(self.unit_s * ratio, self._least_unit_s)
        self.base_s = max(self.base_s * ratio, _LEAST_BASE_S)

    def _add(self, units: float, seconds: float, weight: float) -> None:
        self._weight += weight
        self._x += weight * units
        self._y += weight * seconds
        self._xx += weight * units * units
        self._xy += weight * units * seconds
