"""What a run says of itself: its control, its disturbances; and what its targets show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import gain_between, summarize
from onnxpress_bench.noise import findings
from onnxpress_bench.report.tables import achieved
from onnxpress_bench.report.terminal import render
from onnxpress_bench.suites.targets import Target, outcome
from tests.fixtures.bench import MACHINE, quiet_comparison

OURS, BASE = "onnxpress fp32", "pytorch"


def slowed(comparison: Comparison, backend: str, by: float) -> Comparison:
    """One backend's latencies, longer."""
    runs = tuple(
        replace(run, samples={name: tuple(by * one for one in some) for name, some in run.samples.items()})
        if run.backend == backend
        else run
        for run in comparison.runs
    )
    return replace(comparison, runs=runs)


def test_a_quiet_run_has_a_low_floor_and_no_warnings() -> None:
    found = findings(quiet_comparison(blocks=10, server_per_s=None))
    assert found.floor is not None and found.floor < 0.05
    assert found.controls and len(found.false_alarms) <= len(found.controls) / 5
    assert not found.disturbed and not found.warnings


def test_a_copy_that_differs_from_its_original_is_reported() -> None:
    comparison = quiet_comparison(blocks=10)
    assert comparison.control is not None
    found = findings(slowed(comparison, comparison.control.name, 1.3))
    assert found.floor is not None and found.floor > 0.2
    assert any("A/A control" in warning for warning in found.warnings)


def test_without_a_control_there_is_no_floor() -> None:
    found = findings(quiet_comparison(control=False))
    assert (found.floor, found.controls) == (None, ())


@pytest.mark.parametrize(
    ("noise", "warning"),
    [
        ({"others_cores": 0.6}, "Other processes"),
        ({"stolen_cores": 0.2}, "Other processes"),
        ({"spin_before_ms": 10.0, "spin_after_ms": 14.0}, "unsteady"),
    ],
    ids=["others", "stolen", "clock"],
)
def test_what_disturbed_the_blocks_is_reported(noise: dict[str, float], warning: str) -> None:
    comparison = quiet_comparison()
    runs = tuple(replace(run, noise={**run.noise, **noise}) for run in comparison.runs)
    assert any(warning in one for one in findings(replace(comparison, runs=runs)).warnings)


@pytest.mark.parametrize(
    ("machine", "warning"),
    [
        (replace(MACHINE, busy_share=0.5), "busy"),
        (replace(MACHINE, governor="powersave"), "powersave"),
        (replace(MACHINE, on_battery=True), "battery"),
    ],
    ids=["busy", "governor", "battery"],
)
def test_a_machine_that_is_not_ready_is_reported(machine: object, warning: str) -> None:
    comparison = replace(quiet_comparison(), machine=machine)  # type: ignore[arg-type]
    assert any(warning in one for one in findings(comparison).warnings)
    assert "WARNING" in render(comparison)


def test_blocks_that_spread_are_too_noisy_for_close_comparisons() -> None:
    assert any("Too noisy" in one for one in findings(quiet_comparison(noise=0.4)).warnings)


def test_a_share_is_the_inverse_of_a_gain_and_an_overhead_is_a_share_less_one() -> None:
    comparison = quiet_comparison(blocks=10)
    row = "latency_p50 1x16"
    gain, share, overhead = (
        outcome(comparison, Target("", kind, row, OURS, BASE, at_most=0.5))  # type: ignore[arg-type]
        for kind in ("gain", "share", "overhead")
    )
    assert gain.value is not None and share.value is not None and overhead.value is not None
    assert gain.value == pytest.approx(2.4, rel=0.1)
    assert share.value == pytest.approx(1 / gain.value) and overhead.value == pytest.approx(share.value - 1)
    assert gain.low is not None and gain.high is not None and share.low == pytest.approx(1 / gain.high)
    assert share.low is not None and share.high is not None and share.low <= share.value <= share.high
    back = gain_between(comparison, row, OURS, BASE)
    assert back is not None and back.ratio == pytest.approx(1 / gain.value)


def test_a_target_is_met_by_its_whole_interval_and_not_by_what_was_not_measured() -> None:
    comparison = quiet_comparison(blocks=10)
    for least, verdict in ((2.0, "met"), (2.4, "not shown"), (3.0, "missed")):
        target = Target("", "gain", "latency_p50 1x16", OURS, BASE, at_least=least)
        assert outcome(comparison, target).verdict(target) == verdict
    absent = Target("", "gain", "latency_p50 1x16", OURS, "openvino", at_least=1.0)
    assert outcome(comparison, absent).verdict(absent) == "not measured"


def test_efficiency_is_operations_over_time_over_the_best_product() -> None:
    comparison = quiet_comparison()
    row = next(row for row in summarize(comparison) if row.name == "latency_p50 1x128")
    point = achieved(comparison, row, OURS)
    assert point is not None and comparison.limits is not None
    seconds = row.values[OURS] / 1000
    assert point[0] == pytest.approx(comparison.flops["1x128"] / seconds / 1e9)
    target = Target("", "efficiency", "latency_p50 1x128", OURS, at_least=0.8)
    assert outcome(comparison, target).value == pytest.approx(point[0] / comparison.limits.fp32_gemm_gflops, rel=1e-3)
    bare = replace(comparison, limits=None)
    assert outcome(bare, target).value is None


def test_installations_are_compared() -> None:
    comparison = quiet_comparison()
    sizes = {one.name: one.install_bytes for one in comparison.backends}
    base, own = sizes[BASE], sizes[OURS]
    assert base and own
    found = outcome(comparison, Target("", "install", "", OURS, BASE, at_most=0.5))
    assert found.value == pytest.approx(own / base)
