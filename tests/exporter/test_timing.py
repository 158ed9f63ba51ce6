"""What is recorded of speed, and when nothing is."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest

from onnxpress.pipelines.collators import PadTokens
from onnxpress.samples import Sample
from onnxpress_exporter.gate import timing
from onnxpress_exporter.gate.outputs import Arrays, Collated
from onnxpress_exporter.gate.timing import SHAPES, measure


def _collate(rows: Sequence[Sample]) -> Collated:
    batch = PadTokens(("input_ids",), 0).collate(rows)
    return Collated(batch.arrays, tuple(batch.span(i) for i in range(len(rows))))


def _sleep(seconds: float) -> object:
    def run(arrays: Arrays) -> Arrays:
        time.sleep(seconds)
        return {"x": np.zeros(1)}

    return run


@pytest.fixture
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_others_s", lambda: 0.0)
    monkeypatch.setattr(timing, "SHAPES", SHAPES)  # all of them, which tests of exports do without


@pytest.mark.usefixtures("quiet_machine")
def test_shapes_beyond_the_limit_are_left_out_and_the_slower_one_is_slower() -> None:
    speed = measure({"pytorch": _sleep(0.02), "variant": _sleep(0.001)}, _collate, [5, 6, 7], 64)  # type: ignore[arg-type]
    assert speed is not None
    assert [(t.batch, t.sequence) for t in speed.timings] == [shape for shape in SHAPES if shape[1] <= 64]
    assert all(t.pytorch_milliseconds > t.milliseconds > 0 for t in speed.timings)
    assert speed.machine and speed.threads >= 1


def test_a_busy_machine_gives_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_others_s", lambda: time.perf_counter() * 8.0)  # eight cores of other work
    assert measure({"variant": _sleep(0.001)}, _collate, [5], 16) is None  # type: ignore[arg-type]
