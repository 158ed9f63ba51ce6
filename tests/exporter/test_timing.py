"""What is recorded of speed, and when nothing is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from onnxpress.engine.machine import usable_cores
from onnxpress_exporter.gate import timing
from onnxpress_exporter.gate.timing import SHAPES, measure


class Clock:
    """Passes only where a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s

    def taking(self, seconds: float) -> Callable[[], object]:
        """A function that takes so long."""

        def run() -> None:
            self.now_s += seconds

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


@pytest.fixture
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_others_s", lambda: 0.0)
    monkeypatch.setattr(timing, "SHAPES", SHAPES)  # all of them, which tests of exports do without


@pytest.mark.usefixtures("quiet_machine")
def test_every_shape_is_timed_and_the_slower_one_is_slower(clock: Clock) -> None:
    asked: list[tuple[int, int]] = []

    def calls(batch: int, cost: int) -> Mapping[str, Callable[[], object]]:
        asked.append((batch, cost))
        return {"pytorch": clock.taking(0.02), "variant": clock.taking(0.001)}

    speed = measure(calls, SHAPES)
    assert speed is not None
    assert [(t.batch, t.sequence) for t in speed.timings] == asked == list(SHAPES)
    assert {(t.pytorch_milliseconds, t.milliseconds) for t in speed.timings} == {(20.0, 1.0)}
    assert speed.machine and speed.threads >= 1


def test_a_busy_machine_gives_no_figures(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    others = usable_cores() * timing.BUSY_SHARE
    for share, busy in ((0.9, False), (1.1, True)):
        monkeypatch.setattr(timing, "_others_s", lambda share=share: clock.now_s * others * share)
        speed = measure(lambda batch, cost: {"variant": clock.taking(0.001)}, [(1, 16)])
        assert (speed is None) == busy
