"""How fast this machine can be at all, measured now: multiply-adds, matrix products, reading memory.

A backend is judged by how near it comes to these, so they are taken in the same run, on as many threads. Takes turns
between everything measured, so that a busy second falls on all of them, and keeps the best of the rounds: nothing makes
a machine faster than it is. Knows nothing of models, and measures the processor only, never an accelerator.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress_bench.errors import BenchError
from onnxpress_bench.kernels import (
    READ_SUMS,
    Kernels,
    compile_kernels,
    host,
    multiply_add,
    read_sum,
    vector_widths,
)
from onnxpress_bench.matmuls import Product, fp32_products, int8_products

#: Memory that is read is this many times the last-level caches, and never less than this.
CACHE_MULTIPLE = 4
MIN_READ_BYTES = 512 * 1024**2

FLOAT_BYTES = 4

#: No more than this share of the memory that is free.
MEMORY_SHARE = 0.25

#: One round of multiply-adds, all threads at once: long enough for the system to move them to cores of their own.
ROUND_S = 0.04

#: A round is cut into pieces, to find the part of it in which all threads were really running. Fewer on many threads:
#: between two pieces a thread needs the interpreter's lock.
PIECES = 40
PIECES_OF_ALL_THREADS = 256

#: The part of a round that counts, and the largest share of it that this may be.
WINDOW_S = 0.004
WINDOW_SHARE = 0.25

#: A turn lasts this long, but at least so many rounds: the first may run beside threads that the turn before left
#: spinning.
TURN_S = 0.08
ROUNDS_PER_TURN = 2

#: A factor whose products are too small to change an accumulator of 1, and too large to be denormal.
_FACTOR = 2.0**-40

CACHES = Path("/sys/devices/system/cpu")
CGROUP = Path("/sys/fs/cgroup")

#: Calls a function with every thread's number and each piece's in turn; the times, as `best_rate` takes them.
Together = Callable[[Callable[[int, int], object]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Limits:
    """The machine's limits on `threads` threads, each the best of its rounds; a multiply-add counts as two operations.

    `fp32_fma_gflops` is what multiply-adds in registers reach, so no fp32 product on these threads' vector units can
    be faster; `fp32_gemm_gflops` is what the best library here reaches, and `int8_gemm_gops` the best int8 product
    with int32 sums (None where no library here has one). `rounds` has every round: figure -> measured by -> values.
    """

    threads: int
    vector_bits: int
    fp32_fma_gflops: float
    fp32_gemm_gflops: float
    fp32_gemm_by: str
    int8_gemm_gops: float | None
    int8_gemm_by: str | None
    read_gb_per_s: float
    read_bytes: int
    rounds: Mapping[str, Mapping[str, tuple[float, ...]]]


@dataclass(frozen=True, slots=True)
class _Probe:
    """One thing to repeat: a round does it once and returns its rate in 10^9 operations or bytes per second."""

    figure: str
    by: str
    round_rate: Callable[[], float]


def attainable_gflops(limits: Limits, flops_per_byte: float) -> float:
    """The most that this machine allows to work that does `flops_per_byte` operations for each byte read from memory.

    The roofline: S. Williams, A. Waterman, D. Patterson, "Roofline: An Insightful Visual Performance Model for
    Multicore Architectures", Communications of the ACM 52(4), 2009.
    """
    return min(limits.fp32_fma_gflops, limits.read_gb_per_s * flops_per_byte)


def measure_limits(threads: int, seconds: float = 6.0) -> Limits:
    """Measure for about `seconds`, after imports and warm-up, which take a few more; every probe gets a turn at least.

    Belongs into a process of its own, started with OMP_NUM_THREADS and OPENBLAS_NUM_THREADS set to `threads`: numpy
    is left out where they say otherwise, and PyTorch's number of threads is set.

    Raises:
        MissingDependency: llvmlite is absent.
        InputError: `threads` is less than 1.
        BenchError: no library can be measured on that many threads.
    """
    if threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    processor = host()
    kernels = [compile_kernels(processor, bits) for bits in vector_widths(processor)]
    read_bytes = working_set_bytes()
    with _side_by_side(threads, pieces_of(threads)) as together:
        probes = [
            *(_fma_probe(each, threads, together) for each in kernels),
            _read_probe(kernels[0], threads, read_bytes, together),
            *(_product_probe("fp32_gemm_gflops", product) for product in fp32_products(threads)),
            *(_product_probe("int8_gemm_gops", product) for product in int8_products(threads)),
        ]
        rounds = _take_turns(probes, seconds)
    if "fp32_gemm_gflops" not in rounds:
        raise BenchError(
            f"no library here could be measured on {threads} threads: install onnxruntime and onnx, or set "
            f"OPENBLAS_NUM_THREADS={threads} for numpy's"
        )
    fma_gflops, fma_by = _best(rounds["fp32_fma_gflops"])
    gemm_gflops, gemm_by = _best(rounds["fp32_gemm_gflops"])
    int8_gops, int8_by = _best(rounds["int8_gemm_gops"]) if "int8_gemm_gops" in rounds else (None, None)
    read_gb_per_s, _ = _best(rounds["read_gb_per_s"])
    return Limits(
        threads=threads,
        vector_bits=next(each.vector_bits for each in kernels if _name(each) == fma_by),
        fp32_fma_gflops=fma_gflops,
        fp32_gemm_gflops=gemm_gflops,
        fp32_gemm_by=gemm_by,
        int8_gemm_gops=int8_gops,
        int8_gemm_by=int8_by,
        read_gb_per_s=read_gb_per_s,
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
    found: dict[tuple[int, str], int] = {}
    for index in caches.glob("cpu[0-9]*/cache/index*"):
        try:
            level, size, shared = ((index / name).read_text().strip() for name in ("level", "size", "shared_cpu_list"))
            # Linux writes sizes in KiB. Cores that share a cache all list it: the same cores make it the same cache.
            found[int(level), shared] = int(size.removesuffix("K")) * 1024
        except (OSError, ValueError):
            continue
    last = max((level for level, _ in found), default=0)
    return sum(size for (level, _), size in found.items() if level == last)


def _memory_limits(cgroup: Path) -> Iterator[int]:
    """What a container may use, by either version of Linux's control groups; there need not be a limit."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            yield int((cgroup / name).read_text())
        except (OSError, ValueError):  # absent, or "max"
            continue


def best_rate(marks: NDArray[np.float64]) -> float:
    """Pieces per second, all threads together, in the best stretch of a round.

    A neighbour that takes one core for 3 ms of 10 makes the round a third slower, though the machine is as fast as it
    was. So the rate is taken over a shorter window, wherever in the round it is highest. `marks`: float64 (threads,
    pieces + 1), seconds at which each thread began and ended each piece; within a piece progress is taken as even.
    """
    window_s = min(WINDOW_S, WINDOW_SHARE * float(np.ptp(marks, axis=1).min()))
    pieces = np.arange(marks.shape[1], dtype=np.float64)
    # Progress is made of straight lines, so the best window begins or ends where one of them does.
    begins = np.concatenate([marks.ravel(), marks.ravel() - window_s])
    done = sum(np.interp(begins + window_s, row, pieces) - np.interp(begins, row, pieces) for row in marks)
    return float(np.max(done)) / window_s


@contextmanager
def _side_by_side(threads: int, pieces: int) -> Iterator[Together]:
    """Threads that start each round at once."""
    barrier = Barrier(threads)
    with ThreadPoolExecutor(threads) as pool:

        def one(work: Callable[[int, int], object], index: int) -> list[float]:
            barrier.wait()
            marks = [time.perf_counter()]
            for piece in range(pieces):
                work(index, piece)
                marks.append(time.perf_counter())
            return marks

        def together(work: Callable[[int, int], object]) -> NDArray[np.float64]:
            # Each waits for all at the barrier, so no thread of the pool can take two.
            return np.array(list(pool.map(one, [work] * threads, range(threads))))

        yield together


def pieces_of(threads: int) -> int:
    """Pieces that each thread's round is cut into."""
    return max(1, min(PIECES, PIECES_OF_ALL_THREADS // threads))


def _name(kernels: Kernels) -> str:
    return f"{kernels.vector_bits}-bit vectors"


def _fma_probe(kernels: Kernels, threads: int, together: Together) -> _Probe:
    """Rounds of about ROUND_S: as many steps as that takes, found by doubling."""
    states = [np.ones((kernels.accumulators, kernels.lanes), dtype=np.float32) for _ in range(threads)]

    def run(steps: int) -> NDArray[np.float64]:
        return together(lambda index, _: multiply_add(kernels, states[index], steps, _FACTOR))

    steps = 1000
    while (taken_s := float(np.ptp(run(steps), axis=1).min())) < ROUND_S / 4:
        steps *= 2
    steps = max(1, int(steps * ROUND_S / taken_s))
    piece_gflop = kernels.operations_per_step * steps / 1e9
    return _Probe("fp32_fma_gflops", _name(kernels), lambda: piece_gflop * best_rate(run(steps)))


def _read_probe(kernels: Kernels, threads: int, total_bytes: int, together: Together) -> _Probe:
    """Each thread reads memory of its own, which it also wrote first: so it lies at that thread's memory controller."""
    at_a_time, pieces = READ_SUMS * kernels.lanes, pieces_of(threads)
    count = max(1, total_bytes // FLOAT_BYTES // threads // pieces // at_a_time) * at_a_time
    memory = [_aligned(pieces * count).reshape(pieces, count) for _ in range(threads)]
    together(lambda index, piece: memory[index][piece].fill(1.0))
    piece_gb = FLOAT_BYTES * count / 1e9

    def run() -> NDArray[np.float64]:
        return together(lambda index, piece: read_sum(kernels, memory[index][piece]))

    return _Probe("read_gb_per_s", _name(kernels), lambda: piece_gb * best_rate(run()))


def _aligned(count: int, boundary_bytes: int = 64) -> NDArray[np.float32]:
    """float32 (count,), not yet written to, at the start of a cache line, so that no load touches two lines."""
    memory = np.empty(count * FLOAT_BYTES + boundary_bytes, dtype=np.uint8)
    start = -memory.ctypes.data % boundary_bytes
    return memory[start : start + count * FLOAT_BYTES].view(np.float32)


def _product_probe(figure: str, product: Product) -> _Probe:
    product.call()  # threads start, memory is touched

    def round_rate() -> float:
        started = time.perf_counter()
        product.call()
        return product.operations / 1e9 / (time.perf_counter() - started)

    return _Probe(figure, product.by, round_rate)


def _take_turns(probes: Sequence[_Probe], seconds: float) -> dict[str, dict[str, list[float]]]:
    """Rates of every round in 10^9 per second, by figure and by what was measured; at least one turn for each."""
    rounds: dict[str, dict[str, list[float]]] = {}
    finish = time.perf_counter() + seconds
    while True:
        for probe in probes:
            rates = rounds.setdefault(probe.figure, {}).setdefault(probe.by, [])
            turn_ends, before = time.perf_counter() + TURN_S, len(rates)
            while len(rates) - before < ROUNDS_PER_TURN or time.perf_counter() < turn_ends:
                rates.append(round(probe.round_rate(), 2))
        if time.perf_counter() >= finish:
            return rounds


def _best(by: Mapping[str, Sequence[float]]) -> tuple[float, str]:
    return max((max(rates), name) for name, rates in by.items())
