"""Long streams: read lazily, answered in order, with flat memory, stopped cleanly; threads, forks, pickles, close."""

from __future__ import annotations

import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress import InputError, SessionClosed, pipeline
from onnxpress.pipelines.streaming import WINDOW_SAMPLES
from tests.fixtures.artifacts import write_artifact
from tests.fixtures.embedder import DIMENSIONS, write_embedder
from tests.fixtures.processes import HANG_S

TEXTS = tuple(
    " ".join(random.Random(number).choices(("good", "bad", "film", "very", "a"), k=1 + number * 7 % 13))
    for number in range(1200)
)
EXACT = {"function_to_apply": "none", "top_k": None}


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embedder(tmp_path_factory.mktemp("embedder") / "artifact")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("classifier") / "artifact")


class Source:
    """Texts that count how many of them were taken, and notice when nobody wants more."""

    def __init__(self, texts: tuple[str, ...] = TEXTS) -> None:
        self.texts, self.taken, self.closed = texts, 0, False

    def __iter__(self) -> Iterator[str]:
        try:
            for text in self.texts:
                self.taken += 1
                yield text
        finally:
            self.closed = True


def test_nothing_is_read_before_the_first_result_is_wanted(embedder: Path) -> None:
    source = Source()
    results = pipeline(model=embedder)(iter(source))
    assert source.taken == 0
    next(results)
    assert source.taken == 1


class Counted(Source):
    """Texts whose number is known."""

    def __len__(self) -> int:
        return len(self.texts)


def _ahead(pipe: Any, source: Source, inputs: Any, **options: Any) -> list[int]:
    """How many texts were taken that were not answered, at each result."""
    ahead = [source.taken - number for number, _ in enumerate(pipe(inputs, **options))]
    assert source.taken == len(ahead) == len(TEXTS)
    return ahead


@pytest.mark.parametrize("task", ["embedder", "classifier"])
def test_a_generator_is_read_ahead_only_if_that_was_asked_for(task: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(task)
    pipe = pipeline(model=folder)
    for options in ({}, {"batch_size": 1}, {"batch_size": 1, "read_ahead": 9}):
        source = Source()
        assert set(_ahead(pipe, source, iter(source), **options)) == {1}
    source = Source()
    ahead = _ahead(pipe, source, iter(source), batch_size=8)
    assert ahead[:9] == [8, 7, 6, 5, 4, 3, 2, 1, 8]
    source = Source()
    assert max(_ahead(pipeline(model=folder, batch_size=8), source, iter(source))) == 8
    source = Source()
    assert 20 > max(_ahead(pipe, source, iter(source), budget_tokens=40)) > 2
    source = Source()
    ahead = _ahead(pipe, source, iter(source), read_ahead=100)
    assert (ahead[0], max(ahead)) == (1, 100)


def test_a_source_with_a_length_is_read_ahead_by_a_window_at_most(embedder: Path) -> None:
    source = Counted()
    ahead = _ahead(pipeline(model=embedder), source, source)
    assert (ahead[0], max(ahead)) == (1, WINDOW_SAMPLES)


def test_results_come_in_the_order_of_the_inputs(classifier: Path) -> None:
    pipe = pipeline(model=classifier)
    streamed = list(pipe((text for text in TEXTS), **EXACT))
    assert streamed == pipe(list(TEXTS), **EXACT)
    for text, result in zip(TEXTS, streamed, strict=True):
        scores = {entry["label"]: entry["score"] for entry in result}
        assert scores == {"good": text.split().count("good"), "bad": text.split().count("bad")}


@pytest.mark.parametrize("task", ["embedder", "classifier"])
@pytest.mark.parametrize("shape", [list, iter])
def test_texts_are_encoded_together(
    task: str, shape: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = pipeline(model=request.getfixturevalue(task))
    alone = [pipe.prepare(text, pipe.options).samples[0].arrays["input_ids"].tolist() for text in TEXTS]
    sizes: list[int] = []
    encode_batch = pipe.processor.tokenizer.encode_batch

    def counted(texts: list[str], *others: Any, **options: Any) -> Any:
        encodings = encode_batch(texts, *others, **options)
        assert [encoding.ids for encoding in encodings] == alone[
            sum(sizes) + singles : sum(sizes) + singles + len(texts)
        ]
        sizes.append(len(texts))
        return encodings

    singles = 0 if shape is list else 1  # the first window of a stream
    monkeypatch.setattr(pipe.processor.tokenizer, "encode_batch", counted)
    assert len(list(pipe(shape(TEXTS), read_ahead=WINDOW_SAMPLES))) == len(TEXTS)
    assert sum(sizes) >= len(TEXTS) - 8
    assert max(sizes) > 200


@pytest.mark.parametrize("number", [0, 1, 300])
def test_a_bad_text_among_many_raises_what_it_raises_alone(classifier: Path, number: int) -> None:
    pipe = pipeline(model=classifier)
    texts: list[Any] = list(TEXTS)
    for bad, message in (
        ({"text": 3}, "got dict {'text': 3}"),
        ("good " * 40, "has 42 tokens"),
        (None, "NoneType None"),
    ):
        texts[number : number + 2] = [bad, {"text": "a worse one, later"}]
        texts[number + 2] = 7
        with pytest.raises(InputError, match=message) as alone:
            pipe(bad)
        for inputs in (texts, iter(texts)):
            with pytest.raises(InputError) as among:
                list(pipe(inputs, read_ahead=64))
            assert among.value.index == number
            assert str(among.value) == f"inputs[{number}]: {alone.value}"
        assert alone.value.index is None


def test_good_results_before_a_bad_text_are_not_lost(classifier: Path) -> None:
    pipe = pipeline(model=classifier)
    texts: list[Any] = [*TEXTS[:500], "good " * 40, *TEXTS[500:505]]
    expected = pipe([*TEXTS[:505]])
    for ahead in (1, 64, 512):
        results, error = [], None
        try:
            for result in pipe(iter(texts), read_ahead=ahead):
                results.append(result)  # noqa: PERF402 - it may raise
        except InputError as refused:
            error = refused
        assert results == expected[:500]
        assert error is not None and error.index == 500
    for inputs in (texts, iter(texts)):
        answers = list(pipe(inputs, on_error="return", read_ahead=64))
        refused = answers.pop(500)
        assert isinstance(refused, InputError)
        assert (refused.index, "has 42 tokens" in str(refused)) == (500, True)
        assert answers == expected


def test_an_error_stands_in_the_place_of_a_vector(embedder: Path) -> None:
    pipe = pipeline(model=embedder)
    good = pipe(["good", "bad"])
    assert pipe(["good", "bad"], on_error="return").shape == good.shape
    first, error, second = pipe(["good", None, "bad"], on_error="return")
    assert isinstance(error, InputError) and error.index == 1
    np.testing.assert_array_equal([first, second], good)
    alone = pipe(None, on_error="return")
    assert isinstance(alone, InputError) and alone.index is None
    with pytest.raises(InputError, match="on_error is 'ignore'"):
        pipe("good", on_error="ignore")


def test_an_abandoned_stream_lets_its_source_go(embedder: Path) -> None:
    source = Source()
    results = pipeline(model=embedder)(iter(source), progress=True)
    next(results)
    results.close()
    assert source.closed
    with pytest.raises(StopIteration):
        next(results)


def test_a_failing_source_fails_the_stream_with_its_own_error(embedder: Path) -> None:
    def broken() -> Iterator[str]:
        yield "good"
        raise ConnectionResetError("the other end is gone")

    for ahead in (1, 8):
        results = pipeline(model=embedder)(broken(), batch_size=ahead)
        assert next(results).shape == (DIMENSIONS,)
        with pytest.raises(ConnectionResetError, match="the other end"):
            next(results)


def test_threads_get_the_answers_that_one_gets(classifier: Path) -> None:
    """Each thread cuts texts to a length of its own: truncation is a state of the tokenizer that they share."""
    pipe = pipeline(model=classifier)
    texts = list(TEXTS[:200])
    options = [{**EXACT, "truncation": True, "max_length": 4 + number} for number in range(8)]
    expected = [pipe(texts, **one) for one in options]
    assert expected[0] != expected[7]
    obtained: dict[int, list[Any]] = {}

    def work(number: int) -> None:
        obtained[number] = [[pipe(text, **options[number]) for text in texts], pipe(texts, **options[number])]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        assert obtained[number] == [expected[number], expected[number]]


def test_pickled_pipeline_answers_here_and_in_another_process(embedder: Path, tmp_path: Path) -> None:
    pipe = pipeline(model=embedder, dimensions=5)
    before = pipe(list(TEXTS[:9]))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(pipe))(list(TEXTS[:9])), before)
    (tmp_path / "pipe.pickle").write_bytes(pickle.dumps(pipe))
    program = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb'))('good film').tolist())"
    done = _run(program, tmp_path / "pipe.pickle")
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_allclose(eval(done.stdout), pipe("good film"), atol=1e-6)


def test_closed_pipeline_refuses_to_run_and_so_does_its_pickle(embedder: Path) -> None:
    with pipeline(model=embedder) as pipe:
        pipe("good")
        results = pipe(iter(TEXTS), read_ahead=2)
        next(results)
    for closed in (pipe, pickle.loads(pickle.dumps(pipe))):
        for on_error in ("raise", "return"):
            with pytest.raises(SessionClosed, match="was closed"):
                closed("good", on_error=on_error)
            with pytest.raises(SessionClosed, match="was closed"):
                closed(["good"], on_error=on_error)
    with pytest.raises(SessionClosed, match="was closed"):
        next(results)
    pipe.close()  # twice does no harm


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not give freed memory back at once")
def test_close_frees_the_memory(tmp_path: Path) -> None:
    megabytes = 128
    folder = write_embedder(tmp_path / "artifact", table_rows=megabytes * 4096)
    program = """
import sys, psutil, onnxpress
rss = lambda: psutil.Process().memory_info().rss / 2**20
onnxpress.pipeline(model=sys.argv[2])("good")
before = rss()
pipe = onnxpress.pipeline(model=sys.argv[1])
pipe("good")
used = rss()
pipe.close()
print(before, used, rss())
"""
    done = _run(program, folder, write_embedder(tmp_path / "small"))
    assert (done.returncode, done.stderr) == (0, "")
    before, used, after = map(float, done.stdout.split())
    assert used - before > megabytes * 0.9
    assert after - before < megabytes * 0.25


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no fork")
def test_forked_children_answer(embedder: Path) -> None:
    """By fork itself and by a pool that forks, after the parent has used the pipeline, from a thread as well."""
    program = """
import multiprocessing, os, sys, threading, warnings
import numpy as np, onnxpress
warnings.simplefilter("ignore")  # Python 3.12 warns of any fork beside threads
pipe = onnxpress.pipeline(model=sys.argv[1])
expected = pipe(["good film", "bad"])
worker = threading.Thread(target=lambda: [pipe("very good") for _ in range(2000)])
worker.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(pipe(["good film", "bad"]), expected) else 3)
    assert os.waitpid(child, 0)[1] == 0
worker.join()

def embed(text):
    return pipe(text)

with multiprocessing.get_context("fork").Pool(2) as pool:
    for obtained, wanted in zip(pool.map(embed, ["good film", "bad"]), expected):
        assert np.array_equal(obtained, wanted)
assert np.array_equal(pipe(["good film", "bad"]), expected)
print("done")
"""
    done = _run(program, embedder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


FLAT = """
import sys, psutil, onnxpress
count, marks = int(sys.argv[2]), []
texts = (" ".join(["good", "bad", "film"][: 1 + n % 3]) + " a" * (n % 11) for n in range(count))
for number, vector in enumerate(onnxpress.pipeline(model=sys.argv[1])(texts)):
    if number in (count // 10, count - 1):
        marks.append(psutil.Process().memory_info().rss / 2**20)
print(vector.shape[0], *marks)
"""


def test_memory_of_a_long_stream_is_flat(embedder: Path) -> None:
    done = _run(FLAT, embedder, 20_000)
    assert (done.returncode, done.stderr) == (0, "")
    dimensions, early, late = map(float, done.stdout.split())
    assert dimensions == DIMENSIONS
    # The vectors of the last 18,000 texts alone, if anything kept them, would be 4.6 MB and their objects as much.
    assert late - early < 4


INTERRUPTED = """
import itertools, sys, onnxpress
import onnxpress.pipelines.progress as progress
progress.BAR_DELAY_S = 0.0
pipe = onnxpress.pipeline(model=sys.argv[1])
expected = pipe("good film").tolist()
how = sys.argv[2]
endless = itertools.cycle(["good film", "bad", "a very good film"])
try:
    if how == "list":
        print("started", flush=True)
        while True:
            pipe(list(itertools.islice(endless, 50_000)), progress=True)
    for number, vector in enumerate(pipe(endless, progress=True)):
        if number == 2000:
            print("started", flush=True)
except KeyboardInterrupt:
    if how == "uncaught":
        raise
    print("interrupted", pipe("good film").tolist() == expected, len(pipe(["bad"] * 9)), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process there")
@pytest.mark.parametrize("how", ["generator", "list", "uncaught"])
def test_ctrl_c(how: str, embedder: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(embedder), how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "started\n"
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=HANG_S)
    bar, _, rest = err.rpartition("inputs/s]")
    assert "sentence-similarity" in bar
    if how == "uncaught":
        assert child.returncode == -signal.SIGINT
        assert rest.rstrip().endswith("KeyboardInterrupt")
        assert "Exception ignored" not in err
    else:
        assert (child.returncode, out) == (0, "interrupted True 9\n")
        # The bar was closed: nothing is drawn after it but what covers a longer one, and the cursor is on a new line.
        assert rest.lstrip(" ") == "\n"


def test_progress_is_drawn_only_when_asked_for_and_slow(
    embedder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = pipeline(model=embedder)
    texts = list(TEXTS[:50])
    expected = pipe(texts)
    np.testing.assert_array_equal(pipe(texts, progress=True), expected)
    assert capfd.readouterr() == ("", ""), "50 short texts do not take 2 s"
    monkeypatch.setattr("onnxpress.pipelines.progress.BAR_DELAY_S", 0.0)
    pipe(texts)
    pipe("good", progress=True)
    assert capfd.readouterr() == ("", "")
    np.testing.assert_array_equal(pipe(texts, progress=True), expected)
    out, err = capfd.readouterr()
    assert out == ""
    assert "50/50" in err
    list(pipe(iter(texts), progress=True))
    assert "50 inputs" in capfd.readouterr().err
    asked = pipeline(model=embedder, progress=True)
    asked(texts)
    assert "50/50" in capfd.readouterr().err
    asked(texts, progress=False)
    assert capfd.readouterr() == ("", "")


def test_progress_counts_inputs_batch_by_batch(embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxpress.pipelines.progress as progress

    seen: list[int] = []
    advance = progress._advance

    def watch(bar: Any, done: int) -> None:
        seen.append(done)
        advance(bar, done)

    monkeypatch.setattr(progress, "_advance", watch)
    pipeline(model=embedder)(list(TEXTS), progress=True, batch_size=16)
    assert seen == sorted(seen)
    assert seen[-1] == len(TEXTS)
    assert len(seen) >= len(TEXTS) // 16


def _run(program: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
