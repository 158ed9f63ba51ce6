"""Encoder-decoder models: rows are texts times k, and each row's scores are those of its text alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from onnxpress.engine.buffers import Buffer
from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.generation.decoder import Decoder
from onnxpress.generation.decoders.cross import CrossModel
from onnxpress.generation.decoders.graph import read
from onnxpress.generation.decoders.shared import SharedDecoder
from onnxpress.generation.decoders.text_arrays import Texts
from onnxpress.generation.generate import complete
from onnxpress.generation.largest import log_sums
from onnxpress.generation.prompts import read_together
from onnxpress.generation.settings import GenerationConfig
from tests.fixtures import decoder_graphs as graphs
from tests.fixtures.devices import SHADOW, add_shadow

TEXTS = [np.arange(3, 12), np.arange(40, 44), np.arange(20, 32)]


def open_model(folder: Path, kind: str, device: str = "cpu") -> CrossModel:
    path, growing = folder / "decoder.onnx", kind == "growing"
    if growing:
        info = graphs.growing_decoder(path, cross=True)
    else:
        info = graphs.shared_decoder(path, cross=True, learned_positions=kind == "learned")
    graphs.encoder(folder / "encoder.onnx")
    files = {"encoder_model": folder / "encoder.onnx", "decoder_model_merged": path}
    graph = read("decoder_model_merged", info, "growing" if growing else "shared")
    return CrossModel(Session(files, threads=1, device=device), "encoder_model", graph, 100, growing)


@pytest.fixture(scope="module", params=["rotary", "learned", "growing", "rotary on a device", "growing on a device"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrossModel]:
    kind, _, device = request.param.partition(" on a ")
    with pytest.MonkeyPatch.context() as monkeypatch:
        if device:
            add_shadow(monkeypatch)
        yield open_model(tmp_path_factory.mktemp("graphs"), kind, SHADOW if device else "cpu")


def encode(model: CrossModel, texts: list[np.ndarray]) -> Decoder:
    longest = max(map(len, texts))
    ids, mask = np.zeros((2, len(texts), longest), np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return model.encode(ids, mask, 10)


def alone(model: CrossModel, text: int, ids: list[int]) -> np.ndarray:
    return encode(model, [TEXTS[text]]).prefill(0, ids)[0]


def check_rows(model: CrossModel, decoder: Decoder, rows: list[tuple[int, list[int]]], seed: int) -> None:
    new = np.random.default_rng(seed).integers(0, graphs.VOCABULARY, len(rows))
    scores = decoder.step(new, normalizers=True)
    if isinstance(decoder, SharedDecoder):
        np.testing.assert_allclose(decoder.log_normalizers, log_sums(scores, scores.max(axis=1)), rtol=1e-5)
    else:
        assert decoder.log_normalizers is None
    for row, (text, ids) in enumerate(rows):
        ids.append(int(new[row]))
        np.testing.assert_allclose(scores[row], alone(model, text, ids), atol=2e-4)


def chosen(rows: list[tuple[int, list[int]]], sources: list[int]) -> list[tuple[int, list[int]]]:
    return [(rows[source][0], list(rows[source][1])) for source in sources]


def test_the_text_matters(model: CrossModel) -> None:
    assert np.abs(alone(model, 0, [1]) - alone(model, 1, [1])).max() > 0.01


def test_texts_of_different_length_and_rows_read_alone(model: CrossModel) -> None:
    decoder = encode(model, TEXTS)
    rows = [(text, [text, 2]) for text in range(3)]
    for row, (text, ids) in enumerate(rows):
        np.testing.assert_allclose(decoder.prefill(row, ids)[0], alone(model, text, ids), atol=2e-4)
    for turn in range(3):
        check_rows(model, decoder, rows, turn)


def test_rows_of_different_lengths_take_no_step_of_a_fused_graph(model: CrossModel) -> None:
    decoder = encode(model, TEXTS)
    decoder.prefill(1, [4])
    if isinstance(decoder, SharedDecoder):
        with pytest.raises(InputError, match="equal lengths"):
            decoder.step(np.array([1, 2, 3]))
    else:
        check_rows(model, decoder, [(0, []), (1, [4]), (2, [])], 1)


def test_beams_and_texts_that_drop_out(model: CrossModel) -> None:
    decoder = encode(model, TEXTS)
    rows: list[tuple[int, list[int]]] = [(text, []) for text in range(3)]
    check_rows(model, decoder, rows, 0)
    for turn, sources in enumerate(
        (
            [0, 0, 0, 1, 1, 1, 2, 2, 2],  # three beams of each
            [2, 0, 1, 3, 3, 5, 8, 7, 8],
            [1, 2, 1, 7, 6, 6],  # the text in the middle is done
            [4, 5, 3],  # so is the first
            [1],
        )
    ):
        decoder.select(sources)
        rows = chosen(rows, sources)
        check_rows(model, decoder, rows, turn)
    np.testing.assert_allclose(decoder.prefill(0, [4, 5])[0], alone(model, 2, [*rows[0][1], 4, 5]), atol=2e-4)


def test_equal_tokens_of_two_texts_are_not_taken_for_equal(model: CrossModel) -> None:
    decoder = encode(model, TEXTS[:2])
    decoder.step(np.array([7, 7]))
    decoder.select([1, 0])
    check_rows(model, decoder, [(1, [7]), (0, [7])], 1)


@pytest.mark.parametrize("sources", [[0, 0, 1], [0, 1, 0, 1], [5]])
def test_rows_that_do_not_stand_side_by_side_are_refused(model: CrossModel, sources: list[int]) -> None:
    decoder = encode(model, TEXTS[:2])
    with pytest.raises(InputError):
        decoder.select(sources)
    check_rows(model, decoder, [(0, []), (1, [])], 1)


def test_masks_of_another_shape_are_refused(model: CrossModel) -> None:
    for ids, mask in (((1, 3), (1, 4)), ((3,), (3,)), ((0, 3), (0, 3))):
        with pytest.raises(InputError, match="must be"):
            model.encode(np.zeros(ids, np.int64), np.ones(mask, np.int64), 5)


def test_texts_move_in_their_own_memory() -> None:
    array = np.arange(12.0).reshape(4, 3)
    texts = Texts({"a": array})
    assert not texts.select([1, 0, 3, 2, 4, 4, 7, 6], 8)
    assert texts.select([0, 1, 6, 7], 8)
    assert texts.count == 2
    assert np.shares_memory(texts.buffers(2)["a"].array, array)
    assert texts.of_row(3, 4)["a"].read().tolist() == [[9, 10, 11]]
    assert texts.select([2, 3, 0, 1], 4)
    assert texts.buffers(2)["a"].read().tolist() == [[9, 10, 11], [0, 1, 2]]


@pytest.mark.parametrize("tokens", [1, 2, 3])
def test_short_prompts_are_read_together(model: CrossModel, tokens: int) -> None:
    prompts = [np.arange(5, 5 + tokens) + text for text in range(3)]
    together, alone = encode(model, TEXTS), encode(model, TEXTS)
    scores = read_together(together, prompts)
    assert scores is not None
    for row, prompt in enumerate(prompts):
        np.testing.assert_allclose(scores[row], alone.prefill(row, prompt)[0], atol=2e-4)
    assert list(together.lengths) == list(alone.lengths) == [tokens] * 3
    np.testing.assert_allclose(together.step(np.array([7, 8, 9])), alone.step(np.array([7, 8, 9])), atol=2e-4)


def test_other_prompts_are_not(model: CrossModel) -> None:
    decoder = encode(model, TEXTS)
    assert read_together(decoder, [np.array([1]), np.array([1, 2]), np.array([1])]) is None
    assert read_together(decoder, [np.arange(4)] * 3) is None  # three calls are fewer than four
    assert list(decoder.lengths) == [0, 0, 0]
    decoder.prefill(0, [1])
    assert read_together(decoder, [np.array([1])] * 3) is None


@pytest.mark.parametrize("call", [{}, {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 1}, {"do_sample": True}])
@pytest.mark.parametrize("renormalize", [False, True])
def test_beams_are_the_same_without_the_graph_s_sums(
    model: CrossModel, call: dict[str, object], renormalize: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = GenerationConfig(max_new_tokens=6, num_beams=3, num_return_sequences=2, eos_token_id=(9,), seed=1)
    config = config.merged(renormalize_logits=renormalize, **call)
    asked = ([[1]] * 3, config)
    texts = [text.tolist() for text in TEXTS]
    found = complete(encode(model, TEXTS), *asked, texts=texts)
    monkeypatch.setattr(SharedDecoder, "log_normalizers", None)
    expected = complete(encode(model, TEXTS), *asked, texts=texts)
    assert [[text.ids for text in several] for several in found] == [
        [text.ids for text in several] for several in expected
    ]
    scores = [[text.score for several in some for text in several] for some in (found, expected)]
    np.testing.assert_allclose(*scores, rtol=1e-5)


def test_texts_that_are_done_leave_whichever_comes_first(model: CrossModel) -> None:
    """A batch's texts are those of each alone, though the last take the places of those that are done."""
    several = [np.arange(3 + 5 * text, 9 + 6 * text) for text in range(6)]
    lengths = set()
    for beams in (1, 2):
        config = GenerationConfig(max_new_tokens=9, num_beams=beams, eos_token_id=tuple(range(0, graphs.VOCABULARY, 7)))
        call = {"texts": [text.tolist() for text in several]}
        found = [one[0].ids for one in complete(encode(model, several), [[1]] * 6, config, **call)]
        lengths |= set(map(len, found))
        for text, ids in zip(several, found, strict=True):
            assert complete(encode(model, [text]), [[1]], config, texts=[text.tolist()])[0][0].ids == ids
    assert len(lengths) > 2


@pytest.mark.parametrize("kind", ["rotary", "growing"])
def test_what_the_encoder_made_stays_on_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    add_shadow(monkeypatch)
    model = open_model(tmp_path, kind, SHADOW)
    shapes: list[tuple[int, ...]] = []
    read_buffer = Buffer.read

    def counted(buffer: Buffer) -> np.ndarray:
        shapes.append(buffer.shape)
        return read_buffer(buffer)

    monkeypatch.setattr(Buffer, "read", counted)
    decoder = encode(model, TEXTS[:1])
    decoder.step(np.array([1]))
    decoder.step(np.array([2]))
    assert all(shape[-1] == graphs.VOCABULARY for shape in shapes), "scores alone"


@pytest.mark.parametrize("device", ["cpu", SHADOW])
def test_windows_are_perceived_apart_on_a_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """Each is what it is alone, and a decoder of several reads those of all."""
    add_shadow(monkeypatch)
    model, rows = open_model(tmp_path, "rotary", device), np.arange(3, 30).reshape(3, 9)
    read_rows: list[int] = []
    run = Session.run

    def counted(session: Session, inputs: Mapping[str, np.ndarray], graph: str | None = None) -> dict[str, np.ndarray]:
        read_rows.append(len(inputs["input_ids"]))
        return run(session, inputs, graph)

    monkeypatch.setattr(Session, "run", counted)
    perceived = model.perceive({"input_ids": rows, "attention_mask": np.ones_like(rows)})
    assert read_rows == ([1, 1, 1] if device == "cpu" else [])
    decoder = perceived.decoder([0, 1, 2], 10)
    for number, row in enumerate(rows):
        single = model.perceive({"input_ids": row[None], "attention_mask": np.ones_like(row)[None]})
        np.testing.assert_array_equal(single.keys(0, 0), perceived.keys(number, 0))
        np.testing.assert_allclose(
            decoder.prefill(number, [1])[0], single.decoder([0], 10).prefill(0, [1])[0], atol=1e-6
        )
