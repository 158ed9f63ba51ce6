"""Decoders over graphs: whatever the way to a row's tokens, the scores are those of reading them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from onnxpress.engine.buffers import Buffer
from onnxpress.engine.session import Session
from onnxpress.errors import InputError, UnsupportedFormat
from onnxpress.format.manifest import GraphInfo, TensorInfo
from onnxpress.generation.decoder import Decoder, DecoderModel
from onnxpress.generation.decoders import shared
from onnxpress.generation.decoders.graph import read
from onnxpress.generation.decoders.growing import GrowingDecoder
from onnxpress.generation.decoders.rows import RowsDecoder
from onnxpress.generation.decoders.shared_model import SharedModel
from onnxpress.generation.decoders.traced import TracedModel
from onnxpress.generation.pool.cache import Cache
from tests.fixtures import decoder_graphs as graphs
from tests.fixtures.devices import SHADOW, add_shadow

LIMIT = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


def _shared(folder: Path, learned: bool, device: str = "cpu") -> DecoderModel:
    path = folder / f"shared{learned}.onnx"
    info = graphs.shared_decoder(path, learned_positions=learned)
    return SharedModel(Session({"model": path}, threads=1, device=device), read("model", info, "shared"), LIMIT)


def _growing(folder: Path, device: str = "cpu") -> DecoderModel:
    path = folder / "growing.onnx"
    info = graphs.growing_decoder(path)
    return TracedModel(
        GrowingDecoder, Session({"model": path}, threads=1, device=device), read("model", info, "growing"), LIMIT
    )


def _rows(folder: Path, cache: str, device: str = "cpu", of_prompt: bool = False) -> DecoderModel:
    path = folder / f"{cache}{'_of_prompt' if of_prompt else ''}.onnx"
    info = graphs.state_decoder(path, of_prompt) if cache == "state" else graphs.whole_decoder(path)
    session = Session({"model": path}, threads=1, device=device)
    return TracedModel(RowsDecoder, session, read("model", info, cache), LIMIT)


MODELS: dict[str, Callable[[Path], DecoderModel]] = {
    "rotary": lambda folder: _shared(folder, False),
    "learned": lambda folder: _shared(folder, True),
    "on a device": lambda folder: _shared(folder, False, SHADOW),
    "growing": _growing,
    "growing on a device": lambda folder: _growing(folder, SHADOW),
    "state": lambda folder: _rows(folder, "state"),
    "state on a device": lambda folder: _rows(folder, "state", SHADOW),
    "state, prompts apart": lambda folder: _rows(folder, "state", of_prompt=True),
    "none": lambda folder: _rows(folder, "none"),
}


@pytest.fixture(scope="module", params=list(MODELS))
def model(request: pytest.FixtureRequest, folder: Path) -> Iterator[DecoderModel]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        if request.param.endswith("on a device"):
            add_shadow(monkeypatch)
        yield MODELS[request.param](folder)


@pytest.fixture(autouse=True)
def rubbish_in_new_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """New buffers hold what nobody may read."""
    allocate = Cache._allocate

    def dirty(self: Cache, rows: int, capacity: int) -> None:
        allocate(self, rows, capacity)
        for block in self._blocks.values():
            block.write(np.full(block.shape, np.nan, block.dtype))

    monkeypatch.setattr(Cache, "_allocate", dirty)


def tokens(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, graphs.VOCABULARY, count)


def at_once(model: DecoderModel, ids: Sequence[int] | np.ndarray, keep: int = 1) -> np.ndarray:
    return model.start(1, len(ids)).prefill(0, ids, keep)


def close_to(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, atol=2e-4)


def test_shared_and_growing_graphs_agree(folder: Path) -> None:
    """Two independent graphs of the same weights: fused attention, and plain operators over a mask."""
    ids = tokens(30)
    close_to(at_once(MODELS["learned"](folder), ids, 30), at_once(MODELS["growing"](folder), ids, 30))


def test_steps_of_uneven_rows_and_reading_in_parts(model: DecoderModel) -> None:
    rows = [list(tokens(n, n)) for n in (7, 1, 19)]
    decoder = model.start(3, 20)
    for row, ids in enumerate(rows):
        close_to(decoder.prefill(row, ids[:5]), at_once(model, ids[:5]))
        if len(ids) > 5:
            close_to(decoder.prefill(row, ids[5:], 2), at_once(model, ids, 2))
    for new in tokens(12, 9).reshape(4, 3):
        scores = decoder.step(new)
        for row, ids in enumerate(rows):
            ids.append(new[row])
            close_to(scores[row], at_once(model, ids)[0])
    assert list(decoder.lengths) == [11, 5, 23]


def test_empty_rows_may_begin_with_a_step(model: DecoderModel) -> None:
    decoder = model.start(2, 4)
    decoder.prefill(1, [5, 6])
    scores = decoder.step(np.array([3, 7]))
    close_to(scores[0], at_once(model, [3])[0])
    close_to(scores[1], at_once(model, [5, 6, 7])[0])
    both = model.start(2, 4).step(np.array([3, 7]))
    close_to(both[1], at_once(model, [7])[0])


def test_scores_of_every_position(model: DecoderModel) -> None:
    ids = tokens(9)
    together = at_once(model, ids, 9)
    for stop in range(1, 10):
        close_to(together[stop - 1], at_once(model, ids[:stop])[0])


def test_a_row_joins_while_others_step(model: DecoderModel) -> None:
    decoder = model.start(1, 6)
    rows = [list(map(int, tokens(4)))]
    decoder.prefill(0, rows[0])
    _check_rows(model, decoder, rows, 1)
    for seed in range(2, 5):
        assert decoder.admits
        slot = decoder.admit()
        assert list(decoder.lengths) == [*map(len, rows), 0]
        prompt = list(map(int, tokens(5 + seed, seed)))
        for part in (prompt[:3], prompt[3:]):
            scores = decoder.prefill(slot, part)
            _check_rows(model, decoder, rows, seed)  # those before it step, and it does not
        close_to(scores, at_once(model, prompt))
        rows.append(prompt)
        _check_rows(model, decoder, rows, seed)
    decoder.select([3, 1])
    _check_rows(model, decoder, [rows[3], rows[1]], 9)


def test_truncate_then_something_else(model: DecoderModel) -> None:
    decoder = model.start(2, 10)
    decoder.prefill(0, tokens(10))
    decoder.prefill(1, tokens(6, 1))
    decoder.truncate(0, 4)
    scores = decoder.step(np.array([1, 2]))
    close_to(scores[0], at_once(model, [*tokens(10)[:4], 1])[0])
    close_to(scores[1], at_once(model, [*tokens(6, 1), 2])[0])
    close_to(decoder.prefill(0, [8, 9]), at_once(model, [*tokens(10)[:4], 1, 8, 9]))


def _check_rows(model: DecoderModel, decoder: Decoder, rows: list[list[int]], seed: int) -> None:
    new = tokens(len(rows), seed)
    scores = decoder.step(new)
    for row, ids in enumerate(rows):
        ids.append(int(new[row]))
        close_to(scores[row], at_once(model, ids)[0])


@pytest.mark.parametrize("sources", [[1, 0, 2], [2, 2, 0], [1, 2, 0], [0, 2], [2], [0, 0, 1, 1, 2, 2], [1, 1, 1]])
def test_select(model: DecoderModel, sources: list[int]) -> None:
    rows = [list(map(int, tokens(n, n))) for n in (5, 3, 8)]
    decoder = model.start(3, 10)
    for row, ids in enumerate(rows):
        decoder.prefill(row, ids)
    _check_rows(model, decoder, rows, 1)
    decoder.select(sources)
    rows = [list(rows[source]) for source in sources]
    _check_rows(model, decoder, rows, 2)
    decoder.select(list(range(len(rows)))[::-1])
    _check_rows(model, decoder, rows[::-1], 3)


def test_beams_of_a_common_past(model: DecoderModel) -> None:
    prompt = list(map(int, tokens(12)))
    decoder = model.start(1, 40)
    decoder.prefill(0, prompt)
    decoder.select([0, 0, 0, 0])
    rows = [list(prompt) for _ in range(4)]
    random = np.random.default_rng(3)
    for turn in range(8):
        _check_rows(model, decoder, rows, turn)
        sources = random.integers(0, 4, 4).tolist()
        decoder.select(sources)
        rows = [list(rows[source]) for source in sources]


def test_rows_outgrow_what_was_expected(model: DecoderModel) -> None:
    decoder = model.start(2, 3)
    rows = [[1], [2, 3]]
    for row, ids in enumerate(rows):
        decoder.prefill(row, ids)
    for turn in range(12):
        _check_rows(model, decoder, rows, turn)


def test_long_prompts_are_read_in_chunks(model: DecoderModel, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = tokens(60)
    whole = at_once(model, ids, 60)
    monkeypatch.setattr(shared, "CHUNK_TOKENS", 16)
    for keep in (1, 16, 17, 60):
        close_to(at_once(model, ids, keep), whole[-keep:])


def test_the_limit_is_kept(model: DecoderModel) -> None:
    decoder = model.start(1, 10_000)
    with pytest.raises(InputError, match=f"would have {LIMIT + 1} tokens"):
        decoder.prefill(0, tokens(LIMIT + 1))
    decoder.prefill(0, tokens(LIMIT))
    assert decoder.limit == model.limit == LIMIT
    with pytest.raises(InputError, match="at most"):
        decoder.step(np.array([1]))


def test_wrong_arguments(model: DecoderModel) -> None:
    decoder = model.start(2, 10)
    for ids, keep in (([], 1), ([1], 0), ([1], 2)):
        with pytest.raises(InputError, match="asked for"):
            decoder.prefill(0, ids, keep)
    for bad in (-1, graphs.VOCABULARY):
        with pytest.raises(InputError, match="Tokens are from 0 to 96"):
            decoder.prefill(0, [1, bad])
        with pytest.raises(InputError, match="Tokens are from 0 to 96"):
            decoder.step(np.array([1, bad]))
    with pytest.raises(InputError, match="2 rows, and 3 tokens"):
        decoder.step(np.array([1, 2, 3]))
    with pytest.raises(InputError, match="cannot be selected"):
        decoder.select([0, 2])
    with pytest.raises(InputError, match="cannot be cut"):
        decoder.truncate(0, 1)
    assert list(decoder.lengths) == [0, 0]


def test_graphs_that_are_no_decoders() -> None:
    ids = TensorInfo("input_ids", "int64", ("rows", "sequence"))
    past = TensorInfo("past_key_values.0.key", "float32", ("rows", 2, "capacity", 16))
    new = TensorInfo("present.0.key", "float32", ("rows", 2, "capacity", 16))
    logits = TensorInfo("logits", "float32", ("rows", "kept", 9))
    read("model", GraphInfo((ids, past), (logits, new), "decoder"), "shared")
    for inputs, outputs, reason in (
        ((ids,), (logits,), "no decoder"),
        ((ids, past), (logits,), "does not return present.0.key"),
        ((ids, past, TensorInfo("token_type_ids", "int64", ())), (logits, new), "cannot give"),
        ((ids, TensorInfo(past.name, "bfloat16", past.axes)), (logits, new), "not float32"),
        ((ids, TensorInfo(past.name, "float32", ("a", "b", "c", "d"))), (logits, new), "not float32"),
        ((ids, past), (TensorInfo("logits", "float32", ("rows", "kept", "words")), new), "how many tokens"),
    ):
        with pytest.raises(UnsupportedFormat, match=reason):
            read("model", GraphInfo(inputs, outputs, "decoder"), "shared")


def test_what_a_growing_cache_holds_stays_on_the_device(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_shadow(monkeypatch)
    decoder = _growing(folder, SHADOW).start(1, 8)
    shapes: list[tuple[int, ...]] = []
    copy = Buffer.read

    def counted(buffer: Buffer) -> np.ndarray:
        shapes.append(buffer.shape)
        return copy(buffer)

    monkeypatch.setattr(Buffer, "read", counted)
    decoder.prefill(0, tokens(5))
    for _ in range(3):
        decoder.step(tokens(1))
    assert shapes == [(1, count, graphs.VOCABULARY) for count in (5, 1, 1, 1)], "scores, and no keys or values"


def test_what_a_state_holds_stays_on_the_device(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And rows that go on together are not copied there either, but for the step at which they meet."""
    add_shadow(monkeypatch)
    decoder = _rows(folder, "state", SHADOW).start(2, 8)
    read_shapes: list[tuple[int, ...]] = []
    copied: list[int] = []
    read_buffer, copy = Buffer.read, Buffer.copy_from

    def counted(buffer: Buffer) -> np.ndarray:
        read_shapes.append(buffer.shape)
        return read_buffer(buffer)

    def counted_copy(buffer: Buffer, source: Buffer) -> None:
        copied.append(buffer.nbytes)
        copy(buffer, source)

    monkeypatch.setattr(Buffer, "read", counted)
    monkeypatch.setattr(Buffer, "copy_from", counted_copy)
    for row in range(2):
        decoder.prefill(row, tokens(3, row))
    assert (read_shapes, copied) == ([(1, 1, graphs.VOCABULARY)] * 2, [])
    for _ in range(3):
        decoder.step(tokens(2))
    assert read_shapes[2:] == [(2, 1, graphs.VOCABULARY)] * 3, "scores, and no states"
    assert len(copied) == 2 * 3, "two rows of a state, keys and values, at the first step"
    decoder.select([1])
    decoder.step(tokens(1))
    assert len(copied) == 2 * 3, "a row is part of what it was read with"
