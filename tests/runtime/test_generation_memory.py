"""Nothing grows: not with tokens, not with conversations; a step allocates no arrays."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from onnxpress.engine.session import Session
from onnxpress.generation.decoders.graph import read
from onnxpress.generation.decoders.shared import SharedDecoder
from onnxpress.generation.decoders.shared_model import SharedModel
from onnxpress.generation.pool.cache import Cache
from tests.fixtures import decoder_graphs as graphs
from tests.fixtures.pages import held_bytes_of, only_linux
from tests.fixtures.processes import in_fresh_process, resident_bytes

TOLERANCE_BYTES = 6 * 2**20


def open_model(folder: Path) -> SharedModel:
    path = folder / "model.onnx"
    info = graphs.shared_decoder(path)
    return SharedModel(Session({"model": path}, threads=1), read("model", info, "shared"), 4096, prefix_bytes=2**20)


def run_steps(decoder: SharedDecoder, count: int) -> None:
    ids = np.array([5, 6])
    for _ in range(count):
        if decoder.lengths[0] == 512:
            for row in range(2):
                decoder.truncate(row, 16)
        decoder.step(ids)


@in_fresh_process
def test_ten_thousand_steps(tmp_path: Path) -> None:
    decoder = open_model(tmp_path).start(2, 512)
    for row in range(2):
        decoder.prefill(row, np.arange(16))
    run_steps(decoder, 1000)  # every page of the cache has been written to
    before = resident_bytes()
    run_steps(decoder, 10_000)
    assert resident_bytes() - before < TOLERANCE_BYTES / 6


@in_fresh_process
def test_five_hundred_conversations(tmp_path: Path) -> None:
    model = open_model(tmp_path)
    random = np.random.default_rng(0)

    def talk(seed: int) -> None:
        history: list[int] = []
        for _ in range(2):
            history += random.integers(0, graphs.VOCABULARY, 20 + seed % 170).tolist()
            decoder = model.start(1, len(history) + 8)
            decoder.prefill(0, history)
            for _ in range(4):
                decoder.step(np.array([history[-1]]))
            decoder.close()

    for seed in range(170):
        talk(seed)
    before = resident_bytes()
    for seed in range(500):
        talk(seed)
    assert resident_bytes() - before < TOLERANCE_BYTES
    assert model.prefixes.used_bytes <= 2**20


@only_linux
def test_what_is_reserved_is_not_resident_until_it_is_written() -> None:
    """16 rows of 32,768 tokens of a Qwen2-0.5B's keys and values reserved (12.9 GB), 500 tokens of each written."""
    shapes = {f"{layer}.{kind}": (2, 64) for layer in range(24) for kind in ("key", "value")}
    cache = Cache(shapes, 16, 32_768)

    def held_bytes() -> int:
        return sum(held_bytes_of(buffer.array) for row in range(16) for buffer in cache.of_row(row).values())

    assert held_bytes() == 0
    for row in range(16):
        for buffer in cache.of_row(row).values():
            buffer.array[:, :, :500] = 1
        cache.append(row, range(500))
    written = 16 * 500 * 48 * 2 * 64 * 4  # 197 MB
    assert written <= held_bytes() < written * 1.1
    assert cache.used_bytes == written
    cache.select([0, 1])  # rows that leave give their memory back
    assert written / 8 <= held_bytes() < written / 8 * 1.1
    assert cache.used_bytes == written / 8


@in_fresh_process
def test_a_step_allocates_no_arrays(tmp_path: Path) -> None:
    decoder = open_model(tmp_path).start(2, 512)
    for row in range(2):
        decoder.prefill(row, [1])
    ids = np.array([5, 6])
    tracemalloc.start()
    try:
        # ONNX Runtime's binding keeps 124 bytes of each of a process's first 250 runs or so, and no more after them.
        run_steps(decoder, 400)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(20):
            decoder.step(ids)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 4096
    assert after - before < 2048


def test_python_takes_little_of_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = open_model(tmp_path).start(1, 4096)
    decoder.step(np.array([1]))
    binding = decoder._step_of(1).binding
    monkeypatch.setattr(binding, "run", lambda: None, raising=True)
    ids, best = np.array([5]), float("inf")
    for _ in range(20):
        start = time.thread_time()
        for _ in range(100):
            decoder.step(ids)
        best = min(best, (time.thread_time() - start) / 100)
    assert best < 2e-4  # seconds of this thread's own; about 2e-5 where no other thread has the core's other half
