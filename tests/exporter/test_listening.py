"""The parts of models that hear a sound whole: what hears and what writes have the scores of the whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.graphs.listening import listener_of
from tests.fixtures.tiny_listeners import LISTENERS, tiny_listener


@pytest.mark.parametrize("name", LISTENERS)
def test_parts_have_the_scores_of_the_whole(name: str, tmp_path: Path) -> None:
    import transformers

    folder = tiny_listener(name, tmp_path / "checkpoint")
    model: Any = transformers.AutoModelForSpeechSeq2Seq.from_pretrained(folder).eval()
    extractor: Any = transformers.AutoFeatureExtractor.from_pretrained(folder)
    sounds = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    arrays = {
        model.main_input_name: extractor(sounds, sampling_rate=16_000, return_tensors="pt")[model.main_input_name]
    }
    ids = torch.tensor([[3, 7, 5, 11]])
    with torch.no_grad():
        expected = model(**arrays, decoder_input_ids=ids).logits
        listener = listener_of(model)
        scores = listener.decoder(ids, encoder_hidden_states=listener.states(arrays)).logits
    assert torch.equal(scores, expected)


def test_other_models_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedCheckpoint, match=r"Linear is not exported.*Moonshine"):
        listener_of(torch.nn.Linear(1, 1))
