"""Figures from samples: percentiles that keep their order, whatever the blocks hold."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress_bench.comparison import Comparison, Run
from onnxpress_bench.measures import summarize
from onnxpress_bench.report.page import render_page
from onnxpress_bench.report.terminal import render
from tests.fixtures.bench import quiet_comparison

BASE = quiet_comparison(blocks=2, limits=False, control=False, server_per_s=None)


def with_latencies(*blocks: list[float]) -> Comparison:
    """One backend, and the latencies of each of its blocks."""
    runs = tuple(Run("pytorch", number, {"latency_1x16_ms": tuple(some)}) for number, some in enumerate(blocks))
    return replace(BASE, runs=runs)


def percentiles(comparison: Comparison) -> dict[str, float]:
    return {row.name.split(" ")[0]: row.values["pytorch"] for row in summarize(comparison)}


def test_a_tail_is_never_below_a_nearer_one_though_only_quick_blocks_have_the_samples() -> None:
    quick, slow = [1.0] * 120, [9.0] * 30
    comparison = with_latencies(quick, slow, slow)
    assert percentiles(comparison) == {"latency_p50": 9.0, "latency_p90": 9.0}  # p99 would be 1.0, of one block
    assert "p99 of a latency is shown where every block has 100 samples or more." in render(comparison)
    assert "p99 of a latency is shown where every block" in render_page(comparison)
    whole = with_latencies(quick, [9.0] * 100)
    assert percentiles(whole) == {"latency_p50": 5.0, "latency_p90": 5.0, "latency_p99": 5.0}
    assert "p99 of a latency is shown" not in render(whole)


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=130), min_size=1, max_size=4))
def test_percentiles_rise(blocks: list[list[float]]) -> None:
    values = percentiles(with_latencies(*blocks))
    shown = [values[name] for name in ("latency_p50", "latency_p90", "latency_p99") if name in values]
    assert all(low <= high * (1 + 1e-12) for low, high in pairwise(shown))
    assert ("latency_p99" in values) is all(len(some) >= 100 for some in blocks)


@pytest.mark.parametrize("sample", ["server_latency_ms", "between_tokens_16_8_ms"])
def test_so_is_it_for_every_sample_that_has_a_tail(sample: str) -> None:
    runs = [Run("pytorch", 0, {sample: (1.0,) * 120}), Run("pytorch", 1, {sample: (9.0,) * 99})]
    assert [row.name.partition(" ")[0].endswith("p99") for row in summarize(replace(BASE, runs=tuple(runs)))] == [False]
