"""The runtime's encoder-decoder over graphs that the exporter builds, against PyTorch reading every row whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from onnxpress.engine.session import Session
from onnxpress.generation.decoder import Decoder
from onnxpress.generation.decoders.cross import CrossModel
from onnxpress.generation.decoders.graph import read
from onnxpress.generation.largest import log_sums
from onnxpress_exporter.graphs.generating import build
from onnxpress_exporter.write.save import save
from tests.fixtures.encoder_decoders import tiny
from tests.fixtures.graphs import info_of

VOCABULARY, PAD = 97, 1

#: Biases of distance, which all rows share; learned positions.
CONFIGS: Mapping[str, dict[str, Any]] = {
    "t5": {
        "vocab_size": VOCABULARY,
        "d_model": 32,
        "d_kv": 16,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 12,
        "pad_token_id": PAD,
        "decoder_start_token_id": 0,
    },
    "bart": {
        "vocab_size": VOCABULARY,
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 40,
        "max_position_embeddings": 64,
        "pad_token_id": PAD,
        "decoder_start_token_id": 2,
    },
}


class Case:
    def __init__(self, torch_model: torch.nn.Module, model: CrossModel) -> None:
        self.torch, self.model = torch_model, model

    def same(self, found: np.ndarray, text: Sequence[int], ids: Sequence[int]) -> None:
        with torch.no_grad():
            outputs = self.torch(torch.tensor([list(text)]), decoder_input_ids=torch.tensor([list(ids)]))
        wanted = outputs.logits[0, -1].numpy()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * float(np.ptp(wanted)))

    def encode(self, texts: Sequence[Sequence[int]]) -> Decoder:
        longest = max(map(len, texts))
        ids = np.array([[*text, *[PAD] * (longest - len(text))] for text in texts])
        return self.model.encode(ids, (ids != PAD).astype(np.int64), 8)


@pytest.fixture(scope="module", params=list(CONFIGS))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    torch_model = tiny(CONFIG_MAPPING[request.param](**CONFIGS[request.param]))
    folder: Path = tmp_path_factory.mktemp(request.param)
    built = build(torch_model)
    paths = {name: folder / f"{name}.onnx" for name in built.graphs}
    for name, graph in built.graphs.items():
        save(graph, paths[name])
    decoder = read("decoder_model_merged", info_of(built.graphs["decoder_model_merged"]), "shared")
    return Case(torch_model, CrossModel(Session(paths, threads=1), "encoder_model", decoder, built.limit))


def tokens(count: int, seed: int = 0) -> list[int]:
    return list(map(int, np.random.default_rng(seed).integers(3, VOCABULARY, count)))


def test_beams_of_texts_of_different_length(case: Case) -> None:
    texts = [tokens(count, count) for count in (17, 4, 9)]
    decoder = case.encode(texts)
    rows: list[tuple[int, list[int]]] = [(text, []) for text in range(3)]
    for turn, sources in enumerate(
        (
            [0, 0, 0, 1, 1, 1, 2, 2, 2],  # three beams of each
            [2, 0, 1, 3, 3, 5, 8, 7, 8],
            [0, 1, 1, 4, 3, 5, 6, 8, 6],
            [1, 2, 1, 7, 6, 6],  # the text in the middle is done
            [4, 5, 3],  # so is the first
            [2, 1, 1],
        )
    ):
        new = tokens(len(rows), turn)
        scores = decoder.step(np.array(new), normalizers=True)
        np.testing.assert_allclose(decoder.log_normalizers, log_sums(scores, scores.max(axis=1)), rtol=1e-5)
        for row, (text, ids) in enumerate(rows):
            ids.append(new[row])
            case.same(scores[row], texts[text], ids)
        decoder.select(sources)
        rows = [(rows[source][0], list(rows[source][1])) for source in sources]


def test_several_tokens_at_once_at_the_beginning_and_later(case: Case) -> None:
    texts = [tokens(5, 1), tokens(8, 2)]
    decoder = case.encode(texts)
    rows = [tokens(3, 3), tokens(3, 4)]
    for row, ids in enumerate(rows):
        case.same(decoder.prefill(row, ids)[0], texts[row], ids)
    for row, ids in enumerate(rows):
        decoder.truncate(row, 2)
        ids[2:] = tokens(4, 5 + row)
        case.same(decoder.prefill(row, ids[2:])[0], texts[row], ids)
    scores = decoder.step(np.array([7, 8]))
    assert decoder.log_normalizers is None
    for row, ids in enumerate(rows):
        case.same(scores[row], texts[row], [*ids, 7 + row])
