"""The runtime's decoder over graphs that the exporter builds, against PyTorch reading every row whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from onnxpress.engine.session import Session
from onnxpress.generation.decoders import shared
from onnxpress.generation.decoders.graph import read
from onnxpress.generation.decoders.shared_model import SharedModel
from onnxpress_exporter.graphs.generating import build
from onnxpress_exporter.write.save import save
from tests.fixtures.decoders import tiny
from tests.fixtures.graphs import info_of

VOCABULARY, WINDOW, LIMIT = 211, 9, 128

_SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": LIMIT,
}

#: Rotary positions, a window, learned positions, and none but a bias.
CONFIGS: Mapping[str, dict[str, Any]] = {
    "llama": _SMALL,
    "mistral": {**_SMALL, "sliding_window": WINDOW},
    "gpt2": {"vocab_size": VOCABULARY, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": LIMIT},
    "bloom": {"vocab_size": VOCABULARY, "hidden_size": 64, "n_layer": 2, "n_head": 4},
}


class Case:
    def __init__(self, torch_model: torch.nn.Module, model: SharedModel) -> None:
        self.torch, self.model = torch_model, model

    def same(self, found: np.ndarray, ids: Sequence[int], keep: int = 1) -> None:
        with torch.no_grad():
            wanted = self.torch(torch.tensor([list(ids)])).logits[0, -keep:].numpy()
        np.testing.assert_allclose(np.atleast_2d(found), wanted, rtol=0, atol=1e-4 * float(np.ptp(wanted)))


@pytest.fixture(scope="module", params=list(CONFIGS))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    torch_model = tiny(CONFIG_MAPPING[request.param](**CONFIGS[request.param]))
    built = build(torch_model)
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    save(built.graphs["model"], path)
    graph = read("model", info_of(built.graphs["model"]), "shared")
    session = Session({"model": path}, threads=1)
    return Case(torch_model, SharedModel(session, graph, built.limit))


def tokens(count: int, seed: int = 0) -> list[int]:
    return list(map(int, np.random.default_rng(seed).integers(3, VOCABULARY, count)))


def test_batches_of_prompts_beyond_the_window(case: Case) -> None:
    rows = [tokens(count, count) for count in (1, 40, 13)]
    decoder = case.model.start(3, 20)
    for row, ids in enumerate(rows):
        case.same(decoder.prefill(row, ids, min(5, len(ids))), ids, min(5, len(ids)))
    for turn in range(12):
        new = tokens(3, turn)
        scores = decoder.step(np.array(new))
        for row, ids in enumerate(rows):
            ids.append(new[row])
            case.same(scores[row], ids)
    decoder.truncate(1, 35)
    case.same(decoder.prefill(1, [7, 8, 9], 3), [*rows[1][:35], 7, 8, 9], 3)


def test_chunks_and_reuse(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "CHUNK_TOKENS", 16)
    ids = tokens(90)
    decoder = case.model.start(1, 100)
    case.same(decoder.prefill(0, ids[:60], 33), ids[:60], 33)
    decoder.close()
    decoder = case.model.start(1, 100)
    case.same(decoder.prefill(0, ids, 20), ids, 20)


def test_beams(case: Case) -> None:
    prompt = tokens(20)
    decoder = case.model.start(1, 30)
    decoder.prefill(0, prompt)
    decoder.select([0, 0, 0])
    rows = [list(prompt) for _ in range(3)]
    for turn, sources in enumerate(([0, 0, 2], [2, 0, 1], [1, 2, 1], [1, 0, 2], [2, 1, 1], [2, 0])):
        new = tokens(len(rows), turn)
        scores = decoder.step(np.array(new))
        for row, ids in enumerate(rows):
            ids.append(new[row])
            case.same(scores[row], ids)
        decoder.select(sources)
        rows = [list(rows[source]) for source in sources]
