"""The balance of a value's channels is chosen by a sample of its products' weights as by all of them."""

from __future__ import annotations

import numpy as np
import pytest

from onnxpress_exporter.quantize import ranges
from onnxpress_exporter.quantize.calibration import Statistics
from onnxpress_exporter.quantize.rounding import INT8

CHANNELS, OUTPUTS = 64, 96


def _statistics(rows: np.ndarray) -> Statistics:
    hessian = (rows.T @ rows / len(rows)).astype(np.float32)
    return Statistics(rows.min(axis=0), rows.max(axis=0), hessian, rows, len(rows), rows.mean(axis=0))


@pytest.mark.parametrize("large", [1.0, 30.0], ids=["channels alike", "some channels large"])
def test_a_sample_of_outputs_chooses_as_all_do(monkeypatch: pytest.MonkeyPatch, large: float) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(200, CHANNELS)).astype(np.float32)
    rows[:, ::9] *= large
    weights = generator.normal(size=(CHANNELS, OUTPUTS)).astype(np.float32)
    balances = []
    for most in (CHANNELS * OUTPUTS, CHANNELS * OUTPUTS // 4):
        monkeypatch.setattr(ranges, "_WEIGHTS", most)
        balances.append(ranges.choose_balance(_statistics(rows), weights, INT8))
    first, second = balances
    if large == 1.0:
        assert first is None and second is None
    else:
        assert first is not None and second is not None
        np.testing.assert_array_equal(first, second)
