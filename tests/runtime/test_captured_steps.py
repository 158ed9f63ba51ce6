"""Steps that a device captures: the same scores, from addresses and numbers that stay, on a device that stands in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from onnxpress.engine.binding import Binding
from onnxpress.engine.buffers import allocate
from onnxpress.engine.capture import numbered
from onnxpress.engine.open_graphs import open_graph
from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.generation.decoders.graph import read
from onnxpress.generation.decoders.shared_model import CAPTURED_TOKENS, SharedModel
from onnxpress.generation.generate import complete
from onnxpress.generation.settings import GenerationConfig
from tests.fixtures import decoder_graphs as graphs
from tests.fixtures.devices import SHADOW, add_capturing, add_shadow

LIMIT = 600


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs") / "shared.onnx"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    add_shadow(monkeypatch)
    yield add_capturing(monkeypatch)


def _model(path: Path, *, captures: bool) -> SharedModel:
    info = graphs.shared_decoder(path)
    options = {"enable_cuda_graph": captures}
    session = Session({"model": path}, device=SHADOW, threads=1, provider_options=options)
    return SharedModel(session, read("model", info, "shared"), LIMIT)


def _prompts(seed: int) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, graphs.VOCABULARY, count).tolist() for count in (7, 1, 30)]


def _scores(model: SharedModel, seed: int) -> np.ndarray:
    """Of steps of three rows, of two, and of rows that changed places."""
    decoder = model.start(3, 50)
    for row, ids in enumerate(_prompts(seed)):
        decoder.prefill(row, ids)
    scores = []
    for new in np.random.default_rng(seed).integers(0, graphs.VOCABULARY, (9, 3)):
        count = 3 if len(scores) < 3 else 2
        if len(scores) == 6:
            decoder.select([1, 0])
        scores.append(np.resize(decoder.step(new[:count]).copy(), (3, graphs.VOCABULARY)))
    decoder.close()
    return np.stack(scores)


def test_captured_steps_give_the_same_scores_in_the_places_of_earlier_calls(
    graph_file: Path, runs: Counter[str]
) -> None:
    model = _model(graph_file, captures=True)
    plain = _model(graph_file, captures=False)
    for seed in range(3):
        np.testing.assert_array_equal(_scores(model, seed), _scores(plain, seed))
    assert sorted(runs.values()) == [3 * 3, 3 * 6], "two captured runs, of three rows and of two, for all three calls"


def test_texts_are_those_without_capture(graph_file: Path, runs: Counter[str]) -> None:
    model, plain = _model(graph_file, captures=True), _model(graph_file, captures=False)
    config = GenerationConfig(max_new_tokens=12)
    for seed in range(2):
        written = [complete(each.start(3, 42), _prompts(seed), config) for each in (model, plain)]
        assert written[0] == written[1]
    assert runs


def test_rows_that_outgrow_their_room_are_captured_anew(graph_file: Path, runs: Counter[str]) -> None:
    model = _model(graph_file, captures=True)
    decoder = model.start(1, 10)
    decoder.prefill(0, [1] * (CAPTURED_TOKENS - 2))
    plain = _model(graph_file, captures=False).start(1, 300)
    plain.prefill(0, [1] * (CAPTURED_TOKENS - 2))
    for _ in range(5):
        np.testing.assert_array_equal(decoder.step(np.array([2])), plain.step(np.array([2])))
    assert sorted(runs.values()) == [2, 3]
    decoder.close()
    decoder.close()
    assert model.start(1, 300) is decoder, "two closings keep it once"
    assert model.start(1, 300) is not decoder


def test_calls_side_by_side_have_places_of_their_own(graph_file: Path, runs: Counter[str]) -> None:
    model = _model(graph_file, captures=True)
    first, second = model.start(1, 10), model.start(1, 10)
    for decoder, token in ((first, 1), (second, 2)):
        decoder.prefill(0, [token] * 3)
    alone = _model(graph_file, captures=False)
    for decoder, token in ((first, 1), (second, 2)):
        plain = alone.start(1, 10)
        plain.prefill(0, [token] * 3)
        np.testing.assert_array_equal(decoder.step(np.array([5])), plain.step(np.array([5])))
    assert len(runs) == 2


def test_the_stand_in_tells_what_a_gpu_would_not(graph_file: Path, runs: Counter[str]) -> None:
    """A number on the host that changes after it was captured."""
    model = _model(graph_file, captures=True)
    decoder = model.start(1, 10)
    decoder.prefill(0, [1])
    decoder.step(np.array([1]))
    (step,) = decoder._steps.values()
    step.inputs["total_sequence_length"][...] = 3
    with pytest.raises(Exception, match="total_sequence_length is another"):
        step.run()


def test_a_binding_is_captured_anew_when_what_is_bound_changes(graph_file: Path, runs: Counter[str]) -> None:
    model = _model(graph_file, captures=True)
    session = model._session
    binding = Binding(session, captured=True)
    before = binding._number
    binding.bind({"input_ids": allocate((1, 1), np.int64, SHADOW)})
    assert before is not None
    assert binding._number not in (None, before)
    assert Binding(session)._number is None
    assert numbered(None).get_run_config_entry("gpu_graph_id") == "-1"


def test_a_graph_that_cannot_be_captured_is_refused_with_what_to_do(
    graph_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In ONNX Runtime's words for a graph with branches."""
    import onnxruntime

    def refuse(*arguments: object, **options: object) -> None:
        raise RuntimeError("This session cannot use the graph capture feature as requested by the user")

    add_shadow(monkeypatch)
    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(InputError, match=r"cannot capture runs of this graph .* Leave enable_cuda_graph out"):
        open_graph(graph_file, SHADOW, 1, alternates=False, crowded=False, options={"enable_cuda_graph": "1"})
