"""Graphs that read a token of a prompt otherwise than one that was written: who tells them which it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnxpress.engine.session import Session
from onnxpress.generation.decoder import Logits
from onnxpress.generation.decoders.graph import read
from onnxpress.generation.decoders.rows import RowsDecoder
from onnxpress.generation.decoders.traced import TracedModel
from onnxpress.generation.generate import complete
from onnxpress.generation.settings import GenerationConfig
from tests.fixtures.decoder_graphs import state_decoder


def model_of(folder: Path) -> TracedModel:
    path = folder / "model.onnx"
    graph = read("model", state_decoder(path, of_prompt=True), "state")
    return TracedModel(RowsDecoder, Session({"model": path}, threads=1), graph)


def test_what_was_written_is_told_from_the_prompt(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    ids = [3, 9, 1, 7, 2, 8, 4, 6]

    def scores_of(prompt: int) -> Logits:
        """The last scores, all tokens after `prompt` of them being written."""
        decoder = model.start(1, 8)
        decoder.mark_prompt(0, prompt)
        return decoder.prefill(0, ids)[0]

    for whole, prompt in ((scores_of(8), 5), (scores_of(5), 8)):
        assert not np.allclose(whole, scores_of(prompt))
    decoder = model.start(2, 8)
    for row, prompt in enumerate((5, 6)):
        decoder.mark_prompt(row, prompt)
        decoder.prefill(row, ids[:6])
    decoder.select([1, 0, 0])
    for place in (6, 7):
        scores = decoder.step(np.array([ids[place]] * 3)).copy()
    for row, prompt in enumerate((6, 5, 5)):
        np.testing.assert_allclose(scores[row], scores_of(prompt), rtol=1e-5)
    decoder.truncate(0, 6)
    np.testing.assert_allclose(decoder.prefill(0, ids[6:])[0], scores_of(6), rtol=1e-5)
    # What was written before is part of the next prompt.
    decoder.mark_prompt(1, 8)
    decoder.truncate(1, 7)
    np.testing.assert_allclose(decoder.prefill(1, ids[7:])[0], scores_of(8), rtol=1e-5)


@pytest.mark.parametrize("beams", [1, 2])
def test_searches_tell_how_long_prompts_are(tmp_path: Path, beams: int, monkeypatch: pytest.MonkeyPatch) -> None:
    marked: list[tuple[int, int]] = []
    monkeypatch.setattr(RowsDecoder, "mark_prompt", lambda self, row, count, owner=0: marked.append((row, count)))
    model = model_of(tmp_path)
    complete(model.start(2, 8), [[1, 2, 3], [4]], GenerationConfig(max_new_tokens=3, num_beams=beams))
    assert marked == [(0, 3), (1, 1)]
