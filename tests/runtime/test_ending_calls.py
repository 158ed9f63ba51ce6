"""Calls that are ended: by their timeout or by another thread, in the middle of a run, in every kind of call."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import onnxpress
from onnxpress import Cancel, Cancelled, InputError, TimeoutExceeded
from onnxpress.engine import stopping
from onnxpress.engine.binding import Binding
from tests.fixtures.endless import ENDLESS, write_endless
from tests.fixtures.processes import HANG_S

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return onnxpress.pipeline(model=write_endless(tmp_path_factory.mktemp("endless") / "artifact"), threads=1)


def _soon(call: Callable[[], object]) -> None:
    timer = threading.Timer(0.2, call)
    timer.daemon = True
    timer.start()


@pytest.mark.parametrize("inputs", [ENDLESS, [ENDLESS], ["good", ENDLESS, "bad"]])
def test_a_run_that_goes_on_is_ended(pipe: Any, inputs: Any) -> None:
    assert pipe("good", timeout=HANG_S)[0]["label"] == "good"
    for on_error in ("raise", "return"):  # it is about the call, not about an input
        with pytest.raises(TimeoutExceeded, match=r"longer than its timeout, 0\.1 s") as late:
            pipe(inputs, timeout=0.1, on_error=on_error)
        assert (late.value.status, late.value.index) == (504, None)
        assert isinstance(late.value, TimeoutError)
        cancel = Cancel()
        _soon(cancel.cancel)
        with pytest.raises(Cancelled) as ended:
            pipe(inputs, cancel=cancel, on_error=on_error)
        assert ended.value.status == 499
    assert pipe(["good", "bad"], timeout=HANG_S)[1]["label"] == "bad"


def test_one_cancel_ends_many_calls_and_those_that_come_later(pipe: Any) -> None:
    cancel, ended = Cancel(), []

    def work() -> None:
        try:
            pipe(ENDLESS, cancel=cancel)
        except Cancelled as error:
            ended.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert pipe("good", cancel=Cancel())[0]["label"] == "good"  # another's
    assert not cancel.cancelled
    _soon(cancel.cancel)
    for thread in threads:
        thread.join()
    assert len(ended) == 3
    assert cancel.cancelled
    with pytest.raises(Cancelled):
        pipe("good", cancel=cancel)
    with pytest.raises(Cancelled):
        next(pipe(iter(["good"]), cancel=cancel))


def test_of_a_stream_the_time_of_what_is_computed_counts(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, passing_s = time.monotonic(), 0.0

    def monotonic() -> float:
        nonlocal now_s
        now_s += passing_s
        return now_s

    def source() -> Iterator[str]:
        nonlocal now_s, passing_s
        for text in ("good", "bad"):
            now_s += 1000.0  # the source's own time
            yield text
        passing_s = 1000.0  # from here on every look at the clock takes so long
        yield "good"

    monkeypatch.setattr(stopping, "time", SimpleNamespace(monotonic=monotonic))
    results = pipe(source(), timeout=HANG_S)
    assert [next(results)["label"], next(results)["label"]] == ["good", "bad"]
    with pytest.raises(TimeoutExceeded):
        next(results)
    assert list(results) == []
    monkeypatch.undo()
    with pytest.raises(TimeoutExceeded):
        next(pipe(iter([ENDLESS]), timeout=0.1))


def test_wrong_arguments(pipe: Any) -> None:
    for wrong in (0, -1, "1", True, [2]):
        with pytest.raises(InputError, match="timeout must be a positive number of seconds"):
            pipe("good", timeout=wrong)
    with pytest.raises(InputError, match=r"cancel must be an onnxpress\.Cancel"):
        pipe("good", cancel=threading.Event())


def test_a_pipeline_keeps_a_timeout_in_its_pickle(pipe: Any) -> None:
    usual = onnxpress.pipeline(model=pipe.artifact, timeout=0.1, cancel=Cancel(), threads=1)
    for opened in (usual, pickle.loads(pickle.dumps(usual))):
        with pytest.raises(TimeoutExceeded):
            opened(ENDLESS)


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_timeout_holds_in_a_forked_child(pipe: Any) -> None:
    with pytest.raises(TimeoutExceeded):
        pipe(ENDLESS, timeout=0.1)
    child = os.fork()
    if child == 0:
        try:
            pipe(ENDLESS, timeout=0.1)
        except TimeoutExceeded:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize("artifact", ["3-decoder", "3-translator"])
@pytest.mark.parametrize("options", [{}, {"num_beams": 2}])
def test_texts_that_are_written_are_ended(
    artifact: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a step, after which the same pipeline writes what it wrote before."""
    pipe = onnxpress.pipeline(model=GOLDEN / artifact / "artifact", threads=1)
    call = {"max_new_tokens": 6, "do_sample": False, **options}
    before = pipe("good film", **call)
    cancel, runs = Cancel(), 0
    run = Binding._run

    def counted(self: Binding, allocated: Any) -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            cancel.cancel()
        run(self, allocated)

    with monkeypatch.context() as patch:
        patch.setattr(Binding, "_run", counted)
        with pytest.raises(Cancelled):
            pipe("good film", cancel=cancel, **call)
    assert runs == 3
    with pytest.raises(TimeoutExceeded):
        pipe(["good film"] * 2000, timeout=0.3, **call | {"max_new_tokens": 100})
    np.testing.assert_equal(pipe("good film", timeout=HANG_S, **call), before)


def test_a_text_that_is_handed_out_is_ended() -> None:
    pipe = onnxpress.pipeline(model=GOLDEN / "3-decoder" / "artifact", threads=1)
    options = {"max_new_tokens": 60, "do_sample": False}
    whole = "".join(pipe.stream("good", **options, timeout=HANG_S))
    cancel = Cancel()
    stream = pipe.stream("good", **options, cancel=cancel)
    pieces = [next(stream)]
    cancel.cancel()
    with pytest.raises(Cancelled):
        pieces += stream
    assert list(stream) == []
    assert stream.finish_reason == "cancelled"
    assert stream.usage is not None
    assert whole.startswith("".join(pieces))
    assert "".join(pipe.stream("good", **options)) == whole
