"""Times of forms, taken in turn: how long a heat and a final last, and the clock.

What takes long is run fewer times in a turn, so that a final has enough rounds to tell whatever the model's size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onnxpress.engine.session import Session
from onnxpress_exporter.gate.base import Gate
from onnxpress_exporter.gate.timing import in_turn
from onnxpress_exporter.tuning.contest import Rounds

#: Runs in a turn, of which the least counts: at most, and how many seconds they should not exceed together.
LEAST_OF, TURN_S = 3, 0.1


@dataclass(frozen=True, slots=True)
class Effort:
    """`rounds` at one shape, at least and at most; `budget_s`: seconds after which no new one begins, twice as many
    where they are fewer than the least."""

    rounds: tuple[int, int]
    budget_s: float


#: Which forms are worth a final; and which of them is the fastest. (Of fewer than 8 rounds nothing is sure.)
HEAT, FINAL = Effort((5, 15), 3.0), Effort((15, 60), 15.0)

#: Times all forms at every shape of the gate's work: shape -> form -> seconds by round.
Timer = Callable[[Gate, Mapping[str, Session], Effort], Mapping[tuple[int, int], Rounds]]


def time_in_turn(gate: Gate, sessions: Mapping[str, Session], effort: Effort) -> Mapping[tuple[int, int], Rounds]:
    """The usual `Timer`."""
    work = gate.work(sessions)
    times = {}
    for shape in work.shapes:
        runs = work.calls(*shape)
        started = time.perf_counter()
        next(iter(runs.values()))()
        runs_in_a_turn = max(1, min(LEAST_OF, int(TURN_S / max(time.perf_counter() - started, 1e-6))))
        times[shape] = in_turn(
            runs, rounds=effort.rounds, budget_s=effort.budget_s, least_of=runs_in_a_turn, clock=time.perf_counter
        )
    return times
