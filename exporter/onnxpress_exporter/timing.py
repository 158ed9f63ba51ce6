"""How long one forward pass takes, PyTorch and a graph alternating: the figure stored with a variant.

A first orientation, taken in the exporting process; `onnxpress bench` measures in fresh processes. Where other
processes keep the cores busy nothing is recorded: threads that wait for each other then give any ratio at all. This
module knows neither torch nor ONNX.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from onnxpress.batching import Row
from onnxpress.machine import processor_name, usable_cores
from onnxpress.manifest import Speed, Timing
from onnxpress_exporter.verify import Collate, Runner

#: (batch, tokens) at which a variant is timed.
SHAPES: tuple[tuple[int, int], ...] = ((1, 16), (1, 128), (8, 64))
ROUNDS = 5
BUDGET_S = 2.0  # for one shape

#: Other processes may use this share of the usable cores before figures are thrown away.
BUSY_SHARE = 0.15


def measure(
    pytorch: Runner, graph: Runner, collate: Collate, ids: Sequence[int], max_length: int | None
) -> Speed | None:
    """Median milliseconds of `graph` and `pytorch` at each shape that the model takes; None on a busy machine.

    `ids`: token ids of a real text, repeated to fill a row.
    """
    timings = []
    start, others = time.perf_counter(), _others_s()
    for batch, sequence in SHAPES:
        if max_length is not None and sequence > max_length:
            continue
        row = Row([ids[i % len(ids)] for i in range(sequence)])
        arrays = collate([row] * batch).arrays
        slow, fast = _alternate(lambda: pytorch(arrays), lambda: graph(arrays))  # noqa: B023 - called at once
        timings.append(Timing(batch, sequence, milliseconds=fast, pytorch_milliseconds=slow))
    elapsed = time.perf_counter() - start
    if _others_s() - others > BUSY_SHARE * elapsed * usable_cores():
        return None
    return Speed(machine=processor_name(), threads=usable_cores(), timings=tuple(timings))


def _alternate(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    first(), second()  # both warm
    times: tuple[list[float], list[float]] = ([], [])
    deadline = time.perf_counter() + BUDGET_S
    while len(times[0]) < ROUNDS or (len(times[0]) < 10 * ROUNDS and time.perf_counter() < deadline):
        for run, record in zip((first, second), times, strict=True):
            start = time.perf_counter()
            run()
            record.append((time.perf_counter() - start) * 1000)
        if time.perf_counter() > deadline + BUDGET_S:
            break
    return round(statistics.median(times[0]), 3), round(statistics.median(times[1]), 3)


def _others_s() -> float:
    """Seconds of processor time that everything but this process has used so far; 0 where the system does not say."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    except OSError:
        return 0.0
    # proc(5): user, nice, system, idle, iowait, irq, softirq, steal, in clock ticks.
    user, nice, system, _, _, irq, softirq, steal = map(int, fields[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - time.process_time()
