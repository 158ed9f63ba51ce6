"""Graphs bound to arrays: the arrays' own memory is read and written."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxpress.engine.binding import Binding
from onnxpress.engine.session import Session
from onnxpress.errors import InputError


@pytest.fixture
def session(tmp_path: Path) -> Session:
    text = """<ir_version: 10, opset_import: ["" : 20]>
    g (float[n] a, int64[n] b) => (float[n] sum, float[n] twice) {
        c = Cast<to: int = 1>(b)
        sum = Add(a, c)
        twice = Add(a, a)
    }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "g.onnx")
    return Session({"model": tmp_path / "g.onnx"}, threads=1)


def bound(session: Session, count: int = 2) -> tuple[Binding, np.ndarray, np.ndarray, np.ndarray]:
    a, b, out = np.ones(count, np.float32), np.arange(count), np.zeros(count, np.float32)
    binding = Binding(session)
    binding.bind({"a": a, "b": b}, {"sum": out})
    return binding, a, b, out


def test_runs_read_and_write_the_arrays(session: Session) -> None:
    binding, a, b, out = bound(session)
    binding.run()
    assert out.tolist() == [1, 2]
    a[:] = 10
    b[1] = 5
    binding.run()
    assert out.tolist() == [10, 15]


def test_rebinding_one_array_leaves_the_others(session: Session) -> None:
    binding, _, _, out = bound(session)
    binding.run()
    binding.bind({"b": np.array([7, 8])})
    binding.run()
    assert out.tolist() == [8, 9]
    other = np.zeros(2, np.float32)
    binding.bind({}, {"sum": other})
    out[:] = 0
    binding.run()
    assert (out.tolist(), other.tolist()) == ([0, 0], [8, 9])


def test_arrays_live_as_long_as_they_are_bound(session: Session) -> None:
    binding = Binding(session)
    out = np.zeros(1000, np.float32)
    binding.bind({"a": np.full(1000, 3, np.float32), "b": np.full(1000, 4)}, {"sum": out})
    rubbish = [np.full(1000, 9, np.float32) for _ in range(20)]  # would take the place of freed memory
    binding.run()
    assert (out == 7).all()
    assert len(rubbish) == 20


def test_errors_say_what_is_wrong(session: Session) -> None:
    binding, a, _, _ = bound(session)
    binding.run()
    with pytest.raises(InputError, match="no input 'nope'"):
        binding.bind({"nope": a})
    with pytest.raises(InputError, match="no output 'nope'"):
        binding.bind({}, {"nope": a})
    with pytest.raises(InputError, match="contiguous"):
        binding.bind({"a": np.ones((2, 2), np.float32)[:, 0]})
    binding.run()
    binding.bind({}, {"sum": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match="cannot run"):
        binding.run()
    lacking = Binding(session)
    lacking.bind({"a": a}, {"sum": np.zeros(2, np.float32)})
    with pytest.raises(InputError, match=r"missing: \['b'\]"):
        lacking.run()
    session.close()
    with pytest.raises(InputError, match="closed"):
        binding.run()


def test_another_device_copies_there_and_back(session: Session) -> None:
    session.warm()
    session.device = "cuda:0"  # from here on only the binding asks; what is open stays on the CPU
    binding, a, _, out = bound(session)
    binding.run()
    assert out.tolist() == [1, 2]
    a[:] = 10
    binding.run()
    assert out.tolist() == [10, 11]
    with pytest.raises(InputError, match="returned sum"):
        binding.bind({}, {"sum": np.zeros(3, np.float32)})
        binding.run()


def _in_child(binding: Binding, out: np.ndarray, results: multiprocessing.Queue[list[float]]) -> None:
    binding.run()
    results.put(out.tolist())


def test_a_forked_child_runs_on_its_own_copy(session: Session) -> None:
    binding, a, _, out = bound(session)
    binding.run()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    a[:] = 100
    child = context.Process(target=_in_child, args=(binding, out, results))
    child.start()
    assert results.get(timeout=60) == [100, 101]
    child.join()
    assert out.tolist() == [1, 2]
