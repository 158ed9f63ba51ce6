"""Sessions: graphs by name and role, in children and threads; memory goes back, and never another device instead."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import psutil
import pytest

from onnxpress.engine.session import Session
from onnxpress.errors import CorruptFile, DeviceUnavailable, InputError, SessionClosed
from tests.fixtures.devices import SHADOW, add_shadow
from tests.fixtures.processes import HANG_S, in_fresh_process, resident_bytes

MEGABYTE = 2**20


def save(path: Path, body: str) -> Path:
    onnx.save(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]> g {body}'), path)
    return path


@pytest.fixture
def graphs(tmp_path: Path) -> dict[str, Path]:
    return {
        "first": save(tmp_path / "first.onnx", "(float[n] a) => (float[n] b) { b = Add(a, a) }"),
        "second": save(tmp_path / "second.onnx", "(float16[n] a) => (float16[n] b) { b = Mul(a, a) }"),
    }


def test_graphs_are_called_by_name_and_by_role(graphs: dict[str, Path]) -> None:
    session = Session(graphs, threads=1, roles={"encoder": "first", "decoder": "second"})
    three, half = {"a": np.array([3], np.float32)}, {"a": np.array([3], np.float16)}
    assert session.run(three, "first")["b"] == session.run(three, "encoder")["b"] == 6
    assert session.run(half, "second")["b"] == session.run(half, "decoder")["b"] == 9
    assert session.opened("first") is session.opened("encoder")
    assert (session.input_dtype("a", "encoder"), session.input_dtype("a", "decoder")) == ("float32", "float16")
    assert pickle.loads(pickle.dumps(session)).run(three, "encoder")["b"] == 6
    with pytest.raises(InputError, match="no graph 'head'; there are: first, second"):
        session.run(three, "head")
    with pytest.raises(InputError, match="Name the graph to run; there are: first, second"):
        session.run(three)
    with pytest.raises(InputError, match="'first' has no input 'z'; it has: a"):
        session.input_dtype("z", "encoder")


def test_what_is_no_array_is_told_by_its_name(graphs: dict[str, Path]) -> None:
    session = Session({"first": graphs["first"]}, threads=1)
    for value in ([1.0, 2.0], 3, "text", None):
        with pytest.raises(InputError, match=f"^a: a {type(value).__name__}, and a graph takes arrays of numpy"):
            session.run({"a": value})  # type: ignore[dict-item]
    with pytest.raises(InputError, match=r"arrays by name, .*not ndarray"):
        session.run(np.zeros(2, np.float32))  # type: ignore[arg-type]
    wrong: list[tuple[dict[str, np.ndarray], str]] = [
        ({}, "missing: .'a'."),
        ({"a": np.zeros(2, np.float32), "z": np.zeros(2)}, "unknown: .'z'."),
        ({"a": np.zeros(2, np.float64)}, "a: float64, but graph 'first' wants float32"),
        ({"a": np.zeros((2, 2), np.float32)}, "a: 2 axes, but graph 'first' wants"),
    ]
    for inputs, message in wrong:
        with pytest.raises(InputError, match=message):
            session.run(inputs)
    assert session.run({"a": np.float32([1, 2])})["b"].tolist() == [2, 4]


class Silent(np.ndarray):
    """An array that must not be asked for its interface."""

    @property
    def __array_interface__(self) -> dict[str, object]:
        raise AssertionError("a run asks an array for its interface")


def test_a_run_asks_no_array_for_its_interface(graphs: dict[str, Path]) -> None:
    array = np.ones(2, np.float32).view(Silent)
    assert Session({"g": graphs["first"]}, threads=1).run({"a": array})["b"].tolist() == [2, 2]


def test_the_only_graph_needs_no_name(graphs: dict[str, Path]) -> None:
    session = Session({"second": graphs["second"]}, threads=1)
    assert session.run({"a": np.array([3], np.float16)})["b"] == 9
    assert session.input_dtype("a") == "float16"


def test_a_closed_session_stays_closed(graphs: dict[str, Path]) -> None:
    session = Session(graphs, threads=1)
    session.close()
    session.close()
    for place in (session, pickle.loads(pickle.dumps(session))):
        with pytest.raises(SessionClosed, match="closed"):
            place.run({"a": np.zeros(1, np.float32)}, "first")


def test_a_session_that_rests_opens_its_graphs_again(graphs: dict[str, Path]) -> None:
    session = Session(graphs, threads=1)
    session.warm()
    session.rest()
    assert not session.ready and not session.closed
    assert session.run({"a": np.float32([1, 2])}, "first")["b"].tolist() == [2, 4]


def _run_in_child(session: Session, results: multiprocessing.Queue[float]) -> None:
    results.put(float(session.run({"a": np.array([5], np.float32)}, "first")["b"][0]))


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_open_their_own(graphs: dict[str, Path], method: str) -> None:
    session = Session(graphs, threads=2)
    session.warm()
    context = multiprocessing.get_context(method)
    results = context.Queue()
    child = context.Process(target=_run_in_child, args=(session, results))
    child.start()
    assert results.get(timeout=HANG_S) == 10
    child.join()


def test_several_threads_run_at_once(graphs: dict[str, Path]) -> None:
    session = Session(graphs, threads=2)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: session.run({"a": np.full(100, n, np.float32)}, "first")["b"], range(64)))
    assert [int(result[0]) for result in results] == [2 * n for n in range(64)]


@in_fresh_process
def test_two_sessions_have_as_many_threads_as_each_was_given(graphs: dict[str, Path]) -> None:
    before = len(psutil.Process().threads())
    sessions = [Session({"g": graphs["first"]}, threads=threads) for threads in (1, 3, 5)]
    for session, more in zip(sessions, (0, 2, 6), strict=True):  # the caller's own thread is one of them
        session.warm()
        assert len(psutil.Process().threads()) - before == more
    for session in sessions:
        session.close()
    assert len(psutil.Process().threads()) == before


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep what is freed")
@in_fresh_process
def test_closing_gives_the_memory_back(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(64, 1024, 256)).astype(np.float32)  # 64 MB, and as much packed
    nodes = [onnx.helper.make_node("MatMul", ["x", f"w{n}"], [f"y{n}"]) for n in range(64)]
    nodes.append(onnx.helper.make_node("Sum", [f"y{n}" for n in range(64)], ["y"]))
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 1024])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 256])],
        [onnx.numpy_helper.from_array(weight, f"w{n}") for n, weight in enumerate(weights)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "large.onnx")
    del weights, graph, model
    inputs = {"x": np.ones((500, 1024), np.float32)}

    def use() -> None:
        session = Session({"model": tmp_path / "large.onnx"}, threads=1)
        session.run(inputs)
        used.append(resident_bytes())
        session.close()

    used: list[int] = []
    use()
    before = resident_bytes()
    for _ in range(2):
        use()
    assert used[-1] - before > 60 * MEGABYTE
    assert resident_bytes() - before < 4 * MEGABYTE


def grown_by_shapes(folder: Path, *, many_shapes: bool) -> int:
    """How much more memory a graph that holds a hundred arrays takes after runs of a thousand shapes, bytes."""
    nodes = "".join(f" x{number + 1} = Add(x{number}, x{number})" for number in range(100))
    names = ", ".join(f"x{number}" for number in range(101))
    path = save(folder / "long.onnx", f"(float[n] x0) => (float[n] y) {{{nodes} y = Sum({names}) }}")
    session = Session({"g": path}, threads=1, many_shapes=many_shapes)
    for _ in range(2):
        session.run({"x0": np.ones(1000, np.float32)})
    before = resident_bytes()
    for size in range(1, 1000):
        session.run({"x0": np.ones(size, np.float32)})
    return resident_bytes() - before


@in_fresh_process
def test_nothing_is_kept_for_each_shape_where_there_are_many(tmp_path: Path) -> None:
    assert grown_by_shapes(tmp_path, many_shapes=True) < MEGABYTE / 2


@in_fresh_process
def test_elsewhere_the_layout_of_each_is(tmp_path: Path) -> None:
    assert grown_by_shapes(tmp_path, many_shapes=False) > 2 * MEGABYTE


def test_a_damaged_file_is_called_so_on_any_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_shadow(monkeypatch)
    (tmp_path / "bad.onnx").write_bytes(b"rubbish")
    for name in ("bad.onnx", "absent.onnx"):
        for device in ("cpu", SHADOW):
            with pytest.raises(CorruptFile, match=name):
                Session({"model": tmp_path / name}, device=device).warm()


def test_never_another_device_instead(
    graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """ONNX Runtime would print to stdout, and go on with the CPU."""
    import onnxruntime

    def fail(*_: object) -> None:
        raise RuntimeError("CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version")

    add_shadow(monkeypatch)
    session = Session(graphs, device=SHADOW)
    monkeypatch.setattr(onnxruntime.InferenceSession, "_create_inference_session", fail)
    with pytest.raises(DeviceUnavailable, match="CUDA driver version"):
        session.warm()
    assert capsys.readouterr().out == ""
