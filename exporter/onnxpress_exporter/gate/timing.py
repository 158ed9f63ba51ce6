"""Times one forward pass, PyTorch and graphs alternating, for the figure stored with a variant.

A first orientation, taken in the exporting process; `onnxpress bench` measures in fresh processes. Where other
processes keep the cores busy nothing is recorded: threads that wait for each other then give any ratio at all. This
module knows neither torch nor ONNX.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxpress.engine.machine import features, processor_name, usable_cores
from onnxpress.engine.threads import default_threads
from onnxpress.format.manifest import Speed, Timing
from onnxpress.format.precisions import REFERENCE

#: (batch, tokens) at which a variant is timed.
SHAPES: tuple[tuple[int, int], ...] = ((1, 16), (1, 128), (8, 64))
ROUNDS = 5
BUDGET_S = 2.0  # for one shape

#: What runners are called: the variant, PyTorch, and the fp32 variant.
VARIANT, PYTORCH, PLAIN = "variant", "pytorch", REFERENCE

#: Other processes may use this share of the usable cores before figures are thrown away.
BUSY_SHARE = 0.15


#: A forward pass of each runner, by its name.
Runs = Mapping[str, Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Work:
    """What is timed: `calls` makes the runs at one of `shapes`, a batch and the cost of a row."""

    calls: Callable[[int, int], Runs]
    shapes: Sequence[tuple[int, int]]


def measure(calls: Callable[[int, int], Runs], shapes: Sequence[tuple[int, int]]) -> Speed | None:
    """Median milliseconds of each runner at each shape; None on a busy machine.

    Args:
        calls: makes a function for each runner: VARIANT, and beside it PYTORCH, PLAIN or both; for a batch and the cost
            of a row, in tokens or in what takes as long.
    """
    timings = []
    start, others = time.perf_counter(), _others_s()
    for batch, sequence in shapes:
        milliseconds = _alternate(calls(batch, sequence))
        timings.append(
            Timing(
                batch,
                sequence,
                milliseconds=milliseconds[VARIANT],
                pytorch_milliseconds=milliseconds.get(PYTORCH),
                fp32_milliseconds=milliseconds.get(PLAIN),
            )
        )
    elapsed = time.perf_counter() - start
    if _others_s() - others > BUSY_SHARE * elapsed * usable_cores():
        return None
    return Speed(processor_name(), default_threads(), tuple(timings), features=tuple(sorted(features())))


def _alternate(runs: Runs) -> dict[str, float]:
    times = in_turn(runs, rounds=(ROUNDS, 10 * ROUNDS), budget_s=BUDGET_S, clock=time.perf_counter)
    return {name: round(statistics.median(some) * 1000, 3) for name, some in times.items()}


def in_turn(
    runs: Runs,
    *,
    rounds: tuple[int, int],
    budget_s: float,
    clock: Callable[[], float],
    least_of: int = 1,
) -> dict[str, list[float]]:
    """Seconds of each run in every round; in a round all have their turn, each round another one first.

    Args:
        rounds: the fewest, unless they take twice the budget, and the most.
        budget_s: no new round begins after so long.
        clock: seconds since any moment.
        least_of: runs in one turn, whose shortest counts: others may interrupt some of them.
    """
    for run in runs.values():
        run()  # all warm
    times: dict[str, list[float]] = {name: [] for name in runs}
    names, started = list(runs), clock()
    for number in range(rounds[1]):
        spent = clock() - started
        if number and (spent > 2 * budget_s or (number >= rounds[0] and spent >= budget_s)):
            break
        first = number % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(min(_seconds(runs[name], clock) for _ in range(least_of)))
    return times


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start


def _others_s() -> float:
    """Seconds of processor time that everything but this process has used so far; 0 where the system does not say."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    except OSError:
        return 0.0
    # proc(5): user, nice, system, idle, iowait, irq, softirq, steal, in clock ticks.
    user, nice, system, _, _, irq, softirq, steal = map(int, fields[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - time.process_time()
