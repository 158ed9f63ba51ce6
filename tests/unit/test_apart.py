"""Runs that are apart from the others of their session: their own opening of the graphs, the same answers, and memory
and threads that others have no part in."""

from __future__ import annotations

import gc
import os
import pickle
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx_ir
import pytest

from onnxpress.engine.apart import apart, is_apart
from onnxpress.engine.binding import Binding
from onnxpress.engine.providers import GRAPH_CAPTURE
from onnxpress.engine.session import Session
from onnxpress.errors import SessionClosed
from tests.fixtures.devices import SHADOW, add_shadow
from tests.fixtures.graphs import graph, sums_of_vectors
from tests.fixtures.processes import in_fresh_process, resident_bytes

T = TypeVar("T")

THREADS = 3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Products with weights that ONNX Runtime packs, and a sum over tokens, in fp32."""
    random = np.random.default_rng(0)
    model = graph(
        """g (float[rows, tokens, 64] x) => (float[rows, 32] y) {
            a = MatMul (x, first)
            b = Tanh (a)
            c = MatMul (b, second)
            y = ReduceMean <keepdims = 0> (c, axes)
        }""",
        first=random.normal(size=(64, 256)).astype(np.float32),
        second=random.normal(size=(256, 32)).astype(np.float32),
        axes=np.array([1]),
    )
    onnx_ir.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def session(path: Path) -> Iterator[Session]:
    session = Session({"model": path}, threads=THREADS)
    yield session
    session.close()


def within(call: Callable[[], T]) -> T:
    with apart():
        return call()


def elsewhere(call: Callable[[], T]) -> T:
    """In another thread."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(call).result()


def test_answers_are_the_same_to_the_last_bit(session: Session) -> None:
    random = np.random.default_rng(1)
    for rows, tokens in ((1, 1), (1, 7), (3, 50), (2, 1000), (1, 8000)):
        inputs = {"x": random.normal(size=(rows, tokens, 64)).astype(np.float32)}
        expected = session.run(inputs)["y"]
        np.testing.assert_array_equal(within(lambda: session.run(inputs)["y"]), expected)  # noqa: B023


def test_the_thread_that_says_so_has_an_opening_of_its_own(session: Session) -> None:
    usual = session.opened(None)
    with apart():
        own_opening = session.opened(None)
        assert own_opening.apart and own_opening is session.opened("model")
        assert elsewhere(lambda: (is_apart(), session.opened(None))) == (False, usual)
    assert session.opened(None) is usual and not usual.apart


def test_it_is_shared_with_none_but_such(path: Path, session: Session) -> None:
    other = Session({"model": path}, threads=THREADS)
    assert within(lambda: other.opened(None)) is within(lambda: session.opened(None))
    assert other.opened(None) is session.opened(None)
    assert other.opened(None) is not within(lambda: other.opened(None))


def test_it_is_closed_alone_and_opened_again(session: Session) -> None:
    usual = session.opened(None)
    live = weakref.ref(within(lambda: session.opened(None)))
    session.rest(apart_alone=True)
    gc.collect()
    assert live() is None and session.ready and session.opened(None) is usual
    assert within(lambda: session.opened(None)).apart


def test_closing_a_session_closes_it_too(session: Session) -> None:
    live = weakref.ref(within(lambda: session.opened(None)))
    session.close()
    gc.collect()
    assert live() is None
    with pytest.raises(SessionClosed):
        within(lambda: session.opened(None))


def test_opening_it_holds_nobody_up(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxpress.engine import session as module

    begun, go_on, real = threading.Event(), threading.Event(), module.open_graph

    def slow(*args: object, **options: object) -> object:
        if options["apart"]:
            begun.set()
            assert go_on.wait(60)
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "open_graph", slow)
    with ThreadPoolExecutor(1) as other:
        opening = other.submit(within, lambda: session.opened(None))
        assert begun.wait(60)
        assert not session.opened(None).apart
        Binding(session)
        go_on.set()
        assert opening.result().apart


def test_a_binding_is_connected_where_its_thread_runs(session: Session) -> None:
    x = np.random.default_rng(2).normal(size=(2, 300, 64)).astype(np.float32)
    expected = session.run({"x": x})["y"]

    def bound() -> tuple[Binding, np.ndarray]:
        out = np.zeros((2, 32), np.float32)
        binding = Binding(session)
        binding.bind({"x": x}, {"y": out})
        binding.run()
        return binding, out

    (usual, first), (beside, second) = bound(), within(bound)
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(second, expected)
    live, io = weakref.ref(within(lambda: session.opened(None))), usual._io
    session.rest(apart_alone=True)
    gc.collect()
    assert live() is None  # the binding has let go of it
    assert usual._io is io is not None  # and the other's is as it was
    for binding, out, run in ((usual, first, usual.run), (beside, second, lambda: within(beside.run))):
        out[:] = 0
        run()
        np.testing.assert_array_equal(out, expected)
        binding.close()


def test_where_a_device_has_its_memory_or_captures_nothing_is_apart(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_shadow(monkeypatch)
    session = Session({"model": path}, device=SHADOW, threads=1)
    assert not within(lambda: session.opened(None)).apart
    assert not Session({"model": path}, device=SHADOW, provider_options={GRAPH_CAPTURE: "1"}).may_be_apart
    assert not session.may_be_apart and Session({"model": path}).may_be_apart


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@in_fresh_process
def test_a_forked_child_opens_its_own(path: Path) -> None:
    session = Session({"model": path}, threads=THREADS)
    inputs = {"x": np.ones((1, 500, 64), np.float32)}
    expected = session.run(inputs)["y"]
    with apart():
        parents = session.opened(None)
        if (child := os.fork()) == 0:
            same = np.array_equal(session.run(inputs)["y"], expected)
            session.rest(apart_alone=True)
            os._exit(7 if same and session.opened(None).apart and session.opened(None) is not parents else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        np.testing.assert_array_equal(session.run(inputs)["y"], expected)


def test_a_pickled_session_opens_its_own(session: Session) -> None:
    parents = within(lambda: session.opened(None))
    copy = pickle.loads(pickle.dumps(session))
    assert within(lambda: copy.opened(None)) is parents  # of one process
    session.rest(apart_alone=True)
    assert within(lambda: copy.opened(None)) is parents


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has a niceness of its own on Linux alone")
@in_fresh_process
def test_its_threads_are_as_nice_as_the_one_that_opened_it(path: Path) -> None:
    session = Session({"model": path}, threads=THREADS)
    session.warm()
    before = niceness()

    def nice() -> dict[str, int]:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        with apart():
            session.run({"x": np.ones((1, 500, 64), np.float32)})
        return {task: value for task, value in niceness().items() if task != str(threading.get_native_id())}

    begun = {task: value for task, value in elsewhere(nice).items() if task not in before}
    assert list(begun.values()) == [19] * (THREADS - 1)  # the caller's own thread is one of them
    assert set(before.values()) == {0}
    session.rest(apart_alone=True)
    assert not set(begun) & set(niceness())


def niceness() -> dict[str, int]:
    """Of each thread of this process."""
    tasks = Path("/proc/self/task").iterdir()
    return {task.name: int((task / "stat").read_text().rpartition(")")[2].split()[16]) for task in tasks}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not give freed memory back at once")
@in_fresh_process
def test_it_keeps_its_memory_until_it_is_closed(tmp_path: Path) -> None:
    """1024 x 128 x 256 numbers, 128 MB: of other runs the first small one would give them back."""
    onnx_ir.save(sums_of_vectors(), tmp_path / "model.onnx")
    session = Session({"model": tmp_path / "model.onnx"}, threads=1)
    small, large = ({"ids": np.zeros((rows, 128), np.int64)} for rows in (8, 1024))
    session.run(small)
    with apart():
        session.run(small)
        before = resident_bytes()
        for inputs in (large, small, large, small):
            session.run(inputs)
            assert resident_bytes() - before > 100 * 2**20
    session.run(small)
    session.rest(apart_alone=True)
    assert resident_bytes() - before < 8 * 2**20
