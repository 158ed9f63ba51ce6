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


def measure(
    calls: Callable[[int, int], Mapping[str, Callable[[], object]]], shapes: Sequence[tuple[int, int]]
) -> Speed | None:
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


def _alternate(runs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    for run in runs.values():
        run()  # all warm
    times: dict[str, list[float]] = {name: [] for name in runs}
    rounds, deadline = 0, time.perf_counter() + BUDGET_S
    while rounds < ROUNDS or (rounds < 10 * ROUNDS and time.perf_counter() < deadline):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) * 1000)
        rounds += 1
        if time.perf_counter() > deadline + BUDGET_S:
            break
    return {name: round(statistics.median(some), 3) for name, some in times.items()}


def _others_s() -> float:
    """Seconds of processor time that everything but this process has used so far; 0 where the system does not say."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    except OSError:
        return 0.0
    # proc(5): user, nice, system, idle, iowait, irq, softirq, steal, in clock ticks.
    user, nice, system, _, _, irq, softirq, steal = map(int, fields[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - time.process_time()
