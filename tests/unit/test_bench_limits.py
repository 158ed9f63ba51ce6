"""The machine's limits: the loops compute what they claim, and the figures fit each other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import psutil
import pytest

from onnxpress.errors import InputError, MissingDependency
from onnxpress_bench import limits, matmuls
from onnxpress_bench.errors import BenchError
from onnxpress_bench.kernels import (
    READ_SUMS,
    Host,
    Kernels,
    assembly,
    compile_kernels,
    host,
    multiply_add,
    read_sum,
    vector_widths,
)

THREADS = 2
SMALL = (24, 16, 40)
LINUX = "unknown-linux-gnu"
HASWELL = Host(f"x86_64-{LINUX}", "haswell", {"avx": True, "avx2": True, "fma": True})
SKYLAKE = Host(
    f"x86_64-{LINUX}", "skylake-avx512", {"avx": True, "avx2": True, "fma": True, "avx512f": True, "avx512vl": True}
)
NEHALEM = Host(f"x86_64-{LINUX}", "nehalem", {"sse4.2": True})
NEOVERSE = Host(f"aarch64-{LINUX}", "neoverse-v1", {"neon": True, "sve": True})
APPLE = Host("arm64-apple-darwin23", "apple-m1", {"neon": True})


@pytest.fixture(scope="module", params=vector_widths(host()), ids="{}-bit".format)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return compile_kernels(host(), request.param)


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_multiply_add_is_the_recurrence_that_it_claims(kernels: Kernels, steps: int) -> None:
    shape = (kernels.accumulators, kernels.lanes)
    state = np.random.default_rng(1).integers(-4, 5, shape).astype(np.float32)
    expected = state.astype(np.int64)
    for _ in range(steps):
        for i in range(len(expected)):
            expected[i] += -2 * expected[(i + 1) % len(expected)]
    multiply_add(kernels, state, steps, -2.0)
    assert np.abs(expected).max() < 2**24  # exact in float32
    np.testing.assert_array_equal(state, expected)


def test_the_factor_used_for_timing_changes_nothing(kernels: Kernels) -> None:
    """Numbers that grow or vanish would be timed at another speed: denormals cost more."""
    state = np.ones((kernels.accumulators, kernels.lanes), dtype=np.float32)
    multiply_add(kernels, state, 100_000, limits._FACTOR)
    assert (state == 1).all()


@pytest.mark.parametrize("blocks", [0, 1, 2, 1000])
def test_read_sum_is_the_sum_of_every_value_once(kernels: Kernels, blocks: int) -> None:
    values = np.random.default_rng(2).integers(-50, 51, blocks * READ_SUMS * kernels.lanes).astype(np.float32)
    assert read_sum(kernels, values).sum() == values.sum(dtype=np.float64)
    for i in np.linspace(0, values.size - 1, 9, dtype=int) if blocks else []:
        alone = np.zeros_like(values)
        alone[i] = 1
        assert read_sum(kernels, alone).sum() == 1


def test_arrays_that_would_be_overrun_are_refused(kernels: Kernels) -> None:
    with pytest.raises(InputError, match="float32"):
        multiply_add(kernels, np.zeros((kernels.accumulators - 1, kernels.lanes), np.float32), 1, 1.0)
    with pytest.raises(InputError, match="no multiple"):
        read_sum(kernels, np.zeros(READ_SUMS * kernels.lanes + 1, np.float32))
    with pytest.raises(InputError, match="float32"):
        read_sum(kernels, np.zeros(2 * READ_SUMS * kernels.lanes, np.float32)[::2])


@pytest.mark.parametrize(
    ("processor", "bits", "instruction", "register", "count"),
    [
        (HASWELL, 256, "vfmadd...ps", "ymm", 12),
        (SKYLAKE, 512, "vfmadd...ps", "zmm", 24),
        (SKYLAKE, 256, "vfmadd...ps", "ymm", 24),
        (NEHALEM, 128, "mulps", "xmm", 12),
        (NEOVERSE, 128, r"fmla(?=\tv\d)|fmla\.4s", "v", 24),
        (APPLE, 128, r"fmla\.4s", "v", 24),
    ],
    ids=lambda value: value.cpu if isinstance(value, Host) else "",
)
def test_the_timed_loop_has_the_multiply_adds_and_touches_no_memory(
    processor: Host, bits: int, instruction: str, register: str, count: int
) -> None:
    text = assembly(processor, bits)
    function = text[text.index("multiply_add:") : text.index("read_sum:")]
    # From the last label that is jumped back to, up to that jump.
    loop = re.search(r"^(\S*BB0_\d+):[^\n]*\n((?:\t[^\n]*\n)*?\t(?:j\w+|b\.\w+|cbn?z\b[^\n]*)\t?\s*\1)", function, re.M)
    assert loop is not None, function
    body = loop.group(2)
    assert len(re.findall(rf"\b(?:{instruction})", body)) == count, body
    assert register in body
    assert not re.search(r"\(%|\[sp|\[x\d|\bmovaps\t.*\(", body), "an accumulator left the registers"


def test_the_widths_timed_are_those_of_the_processor() -> None:
    assert [vector_widths(each) for each in (HASWELL, SKYLAKE, NEHALEM, NEOVERSE, APPLE)] == [
        (256,),
        (512, 256),
        (128,),
        (128,),
        (128,),
    ]


def test_threads_run_side_by_side_piece_by_piece() -> None:
    meeting = Barrier(3)
    seen: list[tuple[int, int]] = []

    def work(index: int, piece: int) -> None:
        meeting.wait(timeout=10)  # fails unless all three are here at once
        seen.append((index, piece))

    with limits._side_by_side(3, 2) as together:
        rounds = [together(work) for _ in range(2)]
    assert sorted(seen) == sorted(2 * [(index, piece) for index in range(3) for piece in range(2)])
    for marks in rounds:
        assert marks.shape == (3, 3)
        assert (np.diff(marks, axis=1) >= 0).all()


def test_the_rate_is_that_of_the_stretch_in_which_all_threads_ran() -> None:
    even = np.arange(17.0) * 1e-3  # a piece a millisecond
    assert limits.best_rate(np.stack([even])) == pytest.approx(1000)
    assert limits.best_rate(np.stack([even, even + 0.0003])) == pytest.approx(2000)
    stopped = np.where(even > 0.006, even + 0.02, even)  # for 20 ms in its seventh piece
    assert limits.best_rate(np.stack([even, stopped])) == pytest.approx(2000)
    taking_turns = np.stack([even, even + 0.016])  # never at the same time: one core's worth
    assert limits.best_rate(taking_turns) == pytest.approx(1000)
    assert limits.best_rate(2 * np.stack([even, even])) == pytest.approx(1000)
    single = np.array([[0.0, 0.004], [0.001, 0.005]])
    assert limits.best_rate(single) == pytest.approx(500)


def test_many_threads_are_not_cut_into_small_pieces() -> None:
    assert [limits.pieces_of(threads) for threads in (1, 4, 16, 64, 1000)] == [40, 40, 16, 4, 1]


def test_numpy_is_left_out_where_it_has_another_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("torch", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    assert matmuls.fp32_products(2) == []
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert [product.by.split()[0] for product in matmuls.fp32_products(2, (SMALL,))] == ["numpy"]
    assert matmuls.fp32_products(1) == []


def _run(code: str, **variables: str) -> str:
    """What `code` prints in a fresh process, which may say nothing else and warn of nothing."""
    command = [sys.executable, "-W", "error", "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, timeout=120)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


#: One process for both: most of its time goes into importing PyTorch.
MEASURE = f"""
import json
from dataclasses import asdict
from onnxpress_bench import limits
from onnxpress_bench.matmuls import fp32_products, int8_products

products = [*fp32_products({THREADS}, ({SMALL},)), *int8_products({THREADS}, ({SMALL},))]
[product.call() for product in products]
small = [(product.by, product.operations, product.result().tolist()) for product in products]
limits.MIN_READ_BYTES = 0  # enough to be larger than the caches
print(json.dumps({{"limits": asdict(limits.measure_limits({THREADS}, 0.2)), "small": small}}))
"""


@pytest.fixture(scope="module")
def answer() -> dict[str, Any]:
    for _ in range(3):  # a neighbour may hold a core during one figure and not during another
        output = _run(MEASURE, OMP_NUM_THREADS=str(THREADS), OPENBLAS_NUM_THREADS=str(THREADS))
        assert output.count("\n") == 1  # nothing but the answer
        found: dict[str, Any] = json.loads(output)
        if _fits(limits.Limits(**found["limits"])):
            break
    return found


def _fits(measured: limits.Limits) -> bool:
    """No library is faster than the multiply-adds it is made of; a tenth is left to chance."""
    return measured.fp32_gemm_gflops < 1.1 * measured.fp32_fma_gflops


@pytest.fixture(scope="module")
def measured(answer: dict[str, Any]) -> limits.Limits:
    return limits.Limits(**answer["limits"])


def test_every_library_computes_the_product(answer: dict[str, Any]) -> None:
    x, w = matmuls.fp32_operands(SMALL)
    xi, wi = matmuls.int8_operands(SMALL)
    assert [by.split()[0] for by, _, _ in answer["small"]] == ["numpy", "torch", *["onnxruntime"] * 3]
    expected = [x @ w] * 3 + [xi.astype(np.int32) @ wi.astype(np.int32)] * 2
    for (by, operations, result), right in zip(answer["small"], expected, strict=True):
        assert by.endswith("24x16x40")
        assert operations == 2 * 24 * 16 * 40
        np.testing.assert_allclose(result, right, rtol=1e-5, atol=1e-4, err_msg=by)


def test_the_figures_fit_each_other(measured: limits.Limits) -> None:
    assert measured.threads == THREADS
    assert measured.vector_bits in vector_widths(host())
    # A processor of this decade does over 1 GFLOP/s on a bad day; a loop optimised away would do millions.
    assert 1 < measured.fp32_fma_gflops < 1e6
    assert 0.1 < measured.read_gb_per_s < 1e4
    assert measured.read_bytes >= 2 * limits.last_level_cache_bytes()
    assert _fits(measured)
    assert measured.fp32_gemm_gflops > 0.02 * measured.fp32_fma_gflops
    assert measured.int8_gemm_gops is not None and measured.int8_gemm_gops > 0.1 * measured.fp32_gemm_gflops


def test_each_figure_is_the_best_of_its_rounds(measured: limits.Limits) -> None:
    assert set(measured.rounds) == {"fp32_fma_gflops", "fp32_gemm_gflops", "int8_gemm_gops", "read_gb_per_s"}
    for figure, by in measured.rounds.items():
        assert getattr(measured, figure) == max(max(rates) for rates in by.values())
        assert min(len(rates) for rates in by.values()) >= limits.ROUNDS_PER_TURN
    assert measured.fp32_gemm_gflops in measured.rounds["fp32_gemm_gflops"][measured.fp32_gemm_by]
    assert measured.int8_gemm_gops in measured.rounds["int8_gemm_gops"][measured.int8_gemm_by or ""]
    assert len(measured.rounds["fp32_gemm_gflops"]) == 3 * len(matmuls.SHAPES)


def test_the_roofline_is_the_lower_of_its_two_lines(measured: limits.Limits) -> None:
    ridge = measured.fp32_fma_gflops / measured.read_gb_per_s
    assert limits.attainable_gflops(measured, ridge / 2) == pytest.approx(measured.fp32_fma_gflops / 2)
    assert limits.attainable_gflops(measured, 0.25) == pytest.approx(0.25 * measured.read_gb_per_s)
    assert limits.attainable_gflops(measured, ridge * 3) == measured.fp32_fma_gflops


def test_no_int8_product_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "onnx"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setattr(limits, "MIN_READ_BYTES", 1 << 20)
    found = limits.measure_limits(1, 0.05)
    assert found.int8_gemm_gops is None and found.int8_gemm_by is None
    assert found.fp32_gemm_by.startswith("numpy")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    with pytest.raises(BenchError, match="OPENBLAS_NUM_THREADS=1"):
        limits.measure_limits(1, 0.05)


def test_the_import_is_light() -> None:
    names = "('torch', 'onnxruntime', 'onnx', 'llvmlite', 'psutil')"
    code = f"import sys, onnxpress_bench.limits; print([name for name in {names} if name in sys.modules])"
    assert _run(code) == "[]\n"


def test_a_missing_llvmlite_names_the_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    with pytest.raises(MissingDependency, match=r"pip install 'onnxpress\[bench\]'"):
        limits.measure_limits(1, 0.01)


def test_no_threads_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        limits.measure_limits(0)


def _cache(root: Path, cpu: int, index: int, level: int, size: str, shared: str) -> None:
    folder = root / f"cpu{cpu}" / "cache" / f"index{index}"
    folder.mkdir(parents=True)
    for name, text in (("level", str(level)), ("size", size), ("shared_cpu_list", shared)):
        (folder / name).write_text(f"{text}\n")


def test_the_working_set_follows_the_caches_and_the_memory_allowed(tmp_path: Path) -> None:
    caches, cgroup = tmp_path / "cpu", tmp_path / "cgroup"
    cgroup.mkdir()
    assert limits.last_level_cache_bytes(caches) == 0
    for cpu in range(4):  # two pairs of cores, each pair with 96 MiB of its own
        _cache(caches, cpu, 0, 1, "32K", str(cpu))
        _cache(caches, cpu, 3, 3, "98304K", "0-1" if cpu < 2 else "2-3")
    (caches / "cpufreq").mkdir()
    assert limits.last_level_cache_bytes(caches) == 2 * 96 * 1024**2
    # A quarter of what is free is at least a gigabyte on any machine that runs these tests, or is the cap.
    cap = int(limits.MEMORY_SHARE * psutil.virtual_memory().available)
    assert limits.working_set_bytes(caches, cgroup) == pytest.approx(min(768 * 1024**2, cap), rel=0.1)
    (cgroup / "memory.max").write_text("max\n")
    assert limits.working_set_bytes(tmp_path, cgroup) == pytest.approx(min(limits.MIN_READ_BYTES, cap), rel=0.1)
    (cgroup / "memory.max").write_text(f"{400 * 1024**2}\n")
    assert limits.working_set_bytes(caches, cgroup) == 100 * 1024**2
