"""Graphs bound to arrays and buffers: their own memory is read and written, or travels."""

from __future__ import annotations

import multiprocessing
import weakref
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxpress.engine.binding import Binding, run_parts, run_to_buffers
from onnxpress.engine.buffers import allocate
from onnxpress.engine.session import Session
from onnxpress.errors import InputError, SessionClosed
from tests.fixtures.devices import SHADOW, add_shadow
from tests.fixtures.processes import HANG_S


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
    with pytest.raises(SessionClosed, match="closed"):
        binding.run()


@pytest.fixture
def shadow(session: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    add_shadow(monkeypatch)
    return Session(session.graphs, device=SHADOW, threads=1)


def test_arrays_travel_to_a_device_and_back_in_every_run(shadow: Session) -> None:
    binding, a, b, out = bound(shadow)
    binding.run()
    assert out.tolist() == [1, 2]
    a[:] = 10
    binding.run()
    assert out.tolist() == [10, 11]
    binding.bind({"b": (other := np.array([5, 6]))})
    binding.run()
    other[:] = 7
    b[:] = 100
    binding.run()
    assert out.tolist() == [17, 17]
    with pytest.raises(InputError, match="cannot run"):
        binding.bind({}, {"sum": np.zeros(3, np.float32)})
        binding.run()


def test_buffers_stay_on_a_device(shadow: Session) -> None:
    cache = allocate((3, 2), np.float32, SHADOW)
    cache.write(np.array([[1, 1], [2, 2], [3, 3]], np.float32))
    b, twice = np.array([10, 20]), np.zeros(2, np.float32)
    binding = Binding(shadow)
    binding.bind({"a": cache.at(1), "b": b}, {"sum": cache.at(1), "twice": twice})  # one row, written in place
    for _ in range(2):
        binding.run()
    assert cache.read().tolist() == [[1, 1], [22, 42], [3, 3]]
    assert twice.tolist() == [24, 44]  # the second run read what the first had written
    binding.bind({"a": cache.rows(2, 3).at(0)}, {"sum": cache.at(0)})
    binding.run()
    assert cache.read().tolist() == [[13, 23], [22, 42], [3, 3]]
    with pytest.raises(TypeError, match="on shadow:1"):
        assert cache.array.size


def test_a_buffer_on_the_host_is_bound_as_its_array_is(session: Session) -> None:
    run_on_host_buffers(session)


def test_a_buffer_on_the_host_travels_as_its_array_does(shadow: Session) -> None:
    run_on_host_buffers(shadow)


def run_on_host_buffers(session: Session) -> None:
    a, total = allocate((2, 2), np.float32), allocate((2,), np.float32)
    a.array[:] = [[1, 2], [3, 4]]
    binding = Binding(session)
    binding.bind({"a": a.at(1), "b": np.array([10, 20])}, {"sum": total})
    binding.run()
    assert total.array.tolist() == [13, 24]
    a.array[1] = 0
    binding.run()
    assert total.array.tolist() == [10, 20]


def test_outputs_stay_on_the_device(shadow: Session) -> None:
    a, b = np.array([1, 2], np.float32), np.array([10, 20])
    first = run_to_buffers(shadow, {"a": a, "b": b}, "model")
    assert {name: (value.device, value.shape, value.dtype.name) for name, value in first.items()} == {
        "sum": (SHADOW, (2,), "float32"),
        "twice": (SHADOW, (2,), "float32"),
    }
    assert first["sum"].read().tolist() == [11, 22]
    second = run_to_buffers(shadow, {"a": first["sum"], "b": b})
    assert second["twice"].read().tolist() == [22, 44]
    assert first["twice"].read().tolist() == [2, 4]  # memory of its own for each run
    with pytest.raises(InputError, match=r"missing: \['b'\]"):
        run_to_buffers(shadow, {"a": a})


def test_outputs_on_the_host_are_buffers_too(session: Session) -> None:
    source = allocate((2,), np.float32)
    source.array[:] = 3
    outputs = run_to_buffers(session, {"a": source, "b": np.array([1, 2])})
    assert outputs["sum"].array.tolist() == [4, 5]


@pytest.mark.parametrize("most", [1, 3, 9])
@pytest.mark.parametrize("size", ["n", "3"], ids=["of the inputs' shape", "of one shape"])
def test_rows_apart_are_what_a_run_makes_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str, most: int
) -> None:
    """Where the graph says how large a row's outputs are, it writes them where they stay."""
    text = f"""<ir_version: 10, opset_import: ["" : 20]>
    g (float[rows, {size}] a) => (float[rows, {size}] twice, int64[rows, {size}] numbers) {{
        twice = Add(a, a)
        numbers = Cast<to: int = 7>(a)
    }}"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "g.onnx")
    session = Session({"model": tmp_path / "g.onnx"}, threads=1)
    sizes: list[int] = []
    run = Session.run
    monkeypatch.setattr(Session, "run", lambda *call: sizes.append(len(call[1]["a"])) or run(*call))
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    outputs = run_parts(session, {"a": rows}, most)
    assert sizes == ([] if size == "3" else {1: [1] * 4, 3: [2, 2], 9: [4]}[most])
    expected = run_to_buffers(session, {"a": rows})
    assert outputs.keys() == expected.keys()
    for name, buffer in outputs.items():
        assert buffer.dtype == expected[name].dtype
        np.testing.assert_array_equal(buffer.array, expected[name].array)


def test_a_buffer_of_another_device_is_refused(session: Session, shadow: Session) -> None:
    buffer = allocate((2,), np.float32, "shadow:0")
    for place in (session, shadow):
        with pytest.raises(InputError, match=r"a: a buffer on shadow:0 cannot be bound on"):
            Binding(place).bind({"a": buffer})


def test_closing_the_session_frees_what_a_binding_holds_of_it(session: Session) -> None:
    binding, *_ = bound(session)
    binding.run()
    live = weakref.ref(session.opened("model").session)
    session.close()
    assert live() is None


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
    assert results.get(timeout=HANG_S) == [100, 101]
    child.join()
    assert out.tolist() == [1, 2]
