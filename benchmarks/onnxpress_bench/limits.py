"""How fast this machine's best software is, measured now: matrix products and reading memory.

A backend is judged by how near it comes to these, so they are taken in the same run, on as many threads. They are no
limits of the processor: a product is what the best library here reaches, reading is numpy's. Takes turns between
everything measured, so that a busy second falls on all of them, and keeps the best of the rounds: nothing makes a
machine faster than it is. Knows nothing of models, and measures the processor only, never an accelerator.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onnxpress.errors import InputError
from onnxpress_bench.errors import BenchError
from onnxpress_bench.matmuls import Product, fp32_products, int8_products

#: Memory that is read is this many times the last-level caches, and never less than this.
CACHE_MULTIPLE = 4
MIN_READ_BYTES = 512 * 1024**2

#: No more than this share of the memory that is free.
MEMORY_SHARE = 0.25

#: A turn lasts this long, but at least so many rounds: the first may run beside threads that the turn before left
#: spinning.
TURN_S = 0.08
ROUNDS_PER_TURN = 2

CACHES = Path("/sys/devices/system/cpu")
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Limits:
    """What `threads` threads reach, each the best of its rounds; a multiply-add counts as two operations.

    `fp32_gemm_gflops` is the best float32 product of the libraries here, and `int8_gemm_gops` the best int8 product
    with int32 sums (None where no library here has one). `rounds` has every round: figure -> measured by -> values.
    `fp32_fma_gflops` and `vector_bits`, multiply-adds in registers alone, are of older records; None since.
    """

    threads: int
    fp32_gemm_gflops: float
    fp32_gemm_by: str
    int8_gemm_gops: float | None
    int8_gemm_by: str | None
    read_gb_per_s: float
    read_bytes: int
    rounds: Mapping[str, Mapping[str, tuple[float, ...]]]
    fp32_fma_gflops: float | None = None
    vector_bits: int | None = None


@dataclass(frozen=True, slots=True)
class _Probe:
    """One thing to repeat: a round does it once, `amount` being 10^9 operations or bytes."""

    figure: str
    by: str
    amount: float
    call: Callable[[], object]


def attainable_gflops(limits: Limits, flops_per_byte: float) -> float:
    """What the best product and the reading measured here allow to work that does `flops_per_byte` operations for each
    byte read from memory.

    The roofline: S. Williams, A. Waterman, D. Patterson, "Roofline: An Insightful Visual Performance Model for
    Multicore Architectures", Communications of the ACM 52(4), 2009.
    """
    return min(limits.fp32_gemm_gflops, limits.read_gb_per_s * flops_per_byte)


def measure_limits(threads: int, seconds: float = 6.0) -> Limits:
    """Measure for about `seconds`, after imports and warm-up, which take a few more; every probe gets a turn at least.

    Belongs into a process of its own, started with OMP_NUM_THREADS and OPENBLAS_NUM_THREADS set to `threads`: numpy's
    products are left out where they say otherwise, and PyTorch's number of threads is set.

    Raises:
        InputError: `threads` is less than 1.
        BenchError: no library can be measured on that many threads.
    """
    if threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    read_bytes = working_set_bytes()
    with ThreadPoolExecutor(threads) as pool:
        probes = [
            _read_probe(threads, read_bytes, pool),
            *(_product_probe("fp32_gemm_gflops", product) for product in fp32_products(threads)),
            *(_product_probe("int8_gemm_gops", product) for product in int8_products(threads)),
        ]
        rounds = _take_turns(probes, seconds)
    if "fp32_gemm_gflops" not in rounds:
        raise BenchError(
            f"no library here could be measured on {threads} threads: install onnxruntime and onnx, or set "
            f"OPENBLAS_NUM_THREADS={threads} for numpy's"
        )
    gemm_gflops, gemm_by = _best(rounds["fp32_gemm_gflops"])
    int8_gops, int8_by = _best(rounds["int8_gemm_gops"]) if "int8_gemm_gops" in rounds else (None, None)
    return Limits(
        threads=threads,
        fp32_gemm_gflops=gemm_gflops,
        fp32_gemm_by=gemm_by,
        int8_gemm_gops=int8_gops,
        int8_gemm_by=int8_by,
        read_gb_per_s=_best(rounds["read_gb_per_s"])[0],
        read_bytes=read_bytes,
        rounds={figure: {by: tuple(some) for by, some in marks.items()} for figure, marks in rounds.items()},
    )


def working_set_bytes(caches: Path = CACHES, cgroup: Path = CGROUP) -> int:
    """How much memory to read: so much more than the caches hold that hardly any of it comes from them."""
    import psutil

    free = [int(psutil.virtual_memory().available), *_memory_limits(cgroup)]
    wanted = max(MIN_READ_BYTES, CACHE_MULTIPLE * last_level_cache_bytes(caches))
    return min(wanted, int(MEMORY_SHARE * min(free)))


def last_level_cache_bytes(caches: Path = CACHES) -> int:
    """All last-level caches together, as Linux tells it; 0 where it does not."""
    sizes: dict[tuple[int, str], int] = {}
    for index in caches.glob("cpu[0-9]*/cache/index*"):
        try:
            level, size, shared = ((index / name).read_text().strip() for name in ("level", "size", "shared_cpu_list"))
            # Linux writes sizes in KiB. Cores that share a cache all list it: the same cores make it the same cache.
            sizes[int(level), shared] = int(size.removesuffix("K")) * 1024
        except (OSError, ValueError):
            continue
    last = max((level for level, _ in sizes), default=0)
    return sum(size for (level, _), size in sizes.items() if level == last)


def _memory_limits(cgroup: Path) -> Iterator[int]:
    """What a container may use, by either version of Linux's control groups; there need not be a limit."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            yield int((cgroup / name).read_text())
        except (OSError, ValueError):  # absent, or "max"
            continue


def _read_probe(threads: int, total_bytes: int, pool: ThreadPoolExecutor) -> _Probe:
    """Each thread reads memory of its own, which it also wrote first: so it lies at that thread's memory controller.

    The largest of so many bytes is found by numpy's vector loop, which waits for nothing but the bytes, and lets go of
    the interpreter's lock meanwhile.
    """
    count = max(1, total_bytes // threads)
    parts = list(pool.map(lambda _: np.ones(count, dtype=np.uint8), range(threads)))

    def read() -> int:
        return max(pool.map(lambda part: int(part.max()), parts))

    read()
    return _Probe("read_gb_per_s", f"numpy {np.__version__} max", count * threads / 1e9, read)


def _product_probe(figure: str, product: Product) -> _Probe:
    product.call()  # threads start, memory is touched
    return _Probe(figure, product.by, product.operations / 1e9, product.call)


def _take_turns(probes: Sequence[_Probe], seconds: float) -> dict[str, dict[str, list[float]]]:
    """Rates of every round in 10^9 per second, by figure and by what was measured; at least one turn for each."""
    rounds: dict[str, dict[str, list[float]]] = {}
    finish = time.perf_counter() + seconds
    while True:
        for probe in probes:
            rates = rounds.setdefault(probe.figure, {}).setdefault(probe.by, [])
            turn_ends, before = time.perf_counter() + TURN_S, len(rates)
            while len(rates) - before < ROUNDS_PER_TURN or time.perf_counter() < turn_ends:
                started = time.perf_counter()
                probe.call()
                rates.append(round(probe.amount / (time.perf_counter() - started), 2))
        if time.perf_counter() >= finish:
            return rounds


def _best(by: Mapping[str, Sequence[float]]) -> tuple[float, str]:
    return max((max(rates), name) for name, rates in by.items())
