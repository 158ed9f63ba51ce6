"""The machine's limits: the products compute what they claim, and the figures fit each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from onnxpress.errors import InputError
from onnxpress.format.schema import decode, encode
from onnxpress_bench import limits, matmuls
from onnxpress_bench.errors import BenchError
from tests.fixtures.processes import HANG_S

THREADS = 2
SMALL = (24, 16, 40)


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
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, timeout=HANG_S)
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
small = [(product.by, product.operations, product.call().tolist()) for product in products]
limits.MIN_READ_BYTES = 0  # enough to be larger than the caches
print(json.dumps({{"limits": asdict(limits.measure_limits({THREADS}, 0.2)), "small": small}}))
"""


@pytest.fixture(scope="module")
def answer() -> dict[str, Any]:
    output = _run(MEASURE, OMP_NUM_THREADS=str(THREADS), OPENBLAS_NUM_THREADS=str(THREADS))
    assert output.count("\n") == 1  # nothing but the answer
    found: dict[str, Any] = json.loads(output)
    return found


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
    # A processor of this decade does over 1 GFLOP/s on a bad day; a product optimised away would do millions.
    assert 1 < measured.fp32_gemm_gflops < 1e6
    assert 0.1 < measured.read_gb_per_s < 1e4
    assert measured.read_bytes >= 2 * limits.last_level_cache_bytes()
    assert measured.int8_gemm_gops is not None and measured.int8_gemm_gops > 0.01 * measured.fp32_gemm_gflops
    assert measured.fp32_fma_gflops is None and measured.vector_bits is None, "nothing here measures instructions"


def test_a_record_with_multiply_adds_is_still_read() -> None:
    record = limits.Limits(2, 166.0, "numpy", 330.0, "onnxruntime", 36.0, 512 * 1024**2, {}, 204.0, 256)
    assert decode(limits.Limits, encode(record), "limits") == record
    assert limits.attainable_gflops(record, 1e9) == 166.0


def test_each_figure_is_the_best_of_its_rounds(measured: limits.Limits) -> None:
    assert set(measured.rounds) == {"fp32_gemm_gflops", "int8_gemm_gops", "read_gb_per_s"}
    for figure, by in measured.rounds.items():
        assert getattr(measured, figure) == max(max(rates) for rates in by.values())
        assert min(len(rates) for rates in by.values()) >= limits.ROUNDS_PER_TURN
    assert measured.fp32_gemm_gflops in measured.rounds["fp32_gemm_gflops"][measured.fp32_gemm_by]
    assert measured.int8_gemm_gops in measured.rounds["int8_gemm_gops"][measured.int8_gemm_by or ""]
    assert len(measured.rounds["fp32_gemm_gflops"]) == 3 * len(matmuls.SHAPES)


def test_the_roofline_is_the_lower_of_its_two_lines(measured: limits.Limits) -> None:
    ridge = measured.fp32_gemm_gflops / measured.read_gb_per_s
    assert limits.attainable_gflops(measured, ridge / 2) == pytest.approx(measured.fp32_gemm_gflops / 2)
    assert limits.attainable_gflops(measured, 0.25) == pytest.approx(0.25 * measured.read_gb_per_s)
    assert limits.attainable_gflops(measured, ridge * 3) == measured.fp32_gemm_gflops


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
    names = "('torch', 'onnxruntime', 'onnx', 'psutil')"
    code = f"import sys, onnxpress_bench.limits; print([name for name in {names} if name in sys.modules])"
    assert _run(code) == "[]\n"


def test_no_threads_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        limits.measure_limits(0)


def _cache(root: Path, cpu: int, index: int, level: int, size: str, shared: str) -> None:
    folder = root / f"cpu{cpu}" / "cache" / f"index{index}"
    folder.mkdir(parents=True)
    for name, text in (("level", str(level)), ("size", size), ("shared_cpu_list", shared)):
        (folder / name).write_text(f"{text}\n")


def test_the_working_set_follows_the_caches_and_the_memory_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free_bytes))
    free_bytes = 8 * 1024**3
    caches, cgroup = tmp_path / "cpu", tmp_path / "cgroup"
    cgroup.mkdir()
    assert limits.last_level_cache_bytes(caches) == 0
    for cpu in range(4):  # two pairs of cores, each pair with 96 MiB of its own
        _cache(caches, cpu, 0, 1, "32K", str(cpu))
        _cache(caches, cpu, 3, 3, "98304K", "0-1" if cpu < 2 else "2-3")
    (caches / "cpufreq").mkdir()
    assert limits.last_level_cache_bytes(caches) == 2 * 96 * 1024**2
    assert limits.working_set_bytes(caches, cgroup) == 768 * 1024**2
    (cgroup / "memory.max").write_text("max\n")
    assert limits.working_set_bytes(tmp_path, cgroup) == limits.MIN_READ_BYTES
    free_bytes = 1024**3
    assert limits.working_set_bytes(caches, cgroup) == limits.MEMORY_SHARE * free_bytes
    free_bytes = 8 * 1024**3
    (cgroup / "memory.max").write_text(f"{400 * 1024**2}\n")
    assert limits.working_set_bytes(caches, cgroup) == 100 * 1024**2
