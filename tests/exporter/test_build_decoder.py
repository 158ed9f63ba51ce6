"""Decoders' graphs that are built, not traced: every architecture's answers against PyTorch's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from onnxpress_exporter import generators
from tests.fixtures.decoders import Floats, Graph, tiny

VOCABULARY = 199
WINDOW = 9

_SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_SMALL_GPT2 = {"vocab_size": VOCABULARY, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 96}

#: Name -> model_type, its config.
CASES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", _SMALL),
    "llama3": (
        "llama",
        {
            **_SMALL,
            "attention_bias": True,
            "mlp_bias": True,
            "head_dim": 32,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
    ),
    "llama yarn": (
        "llama",
        {
            **_SMALL,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 24,
            },
        },
    ),
    "mistral": ("mistral", {**_SMALL, "sliding_window": WINDOW}),
    "qwen2": ("qwen2", {**_SMALL, "tie_word_embeddings": True}),
    "qwen2 window": (
        "qwen2",
        {**_SMALL, "use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {**_SMALL, "head_dim": 32}),
    "gpt2": ("gpt2", _SMALL_GPT2),
    "gpt2 scaled": (
        "gpt2",
        {
            **_SMALL_GPT2,
            "scale_attn_by_inverse_layer_idx": True,
            "scale_attn_weights": False,
            "activation_function": "relu",
        },
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> torch.nn.Module:
    model_type, config = CASES[request.param]
    return tiny(CONFIG_MAPPING[model_type](**config))


def expected(model: torch.nn.Module, ids: np.ndarray) -> Floats:
    with torch.no_grad():
        return model(torch.from_numpy(ids)).logits.numpy()


def same(found: Floats, wanted: Floats) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * float(np.ptp(wanted)))


def test_every_call_answers_as_pytorch_does(case: torch.nn.Module, tmp_path: Path) -> None:
    assert generators.buildable(case) is None
    assert generators.context_limit(case) == 96 or generators.context_limit(case) is None
    built = generators.build_decoder(case)
    graph = Graph(built, tmp_path, rows=3)
    rng = np.random.default_rng(0)
    ids = rng.integers(3, VOCABULARY, (3, CAPACITY_USED))
    wanted = expected(case, ids)
    # Answers that hardly depend on what was read would pass any comparison.
    assert np.abs(wanted[0] - wanted[1]).max() > 0.1 * np.ptp(wanted)

    # Prompts of three lengths, each row alone.
    for row, length in enumerate(PROMPTS):
        same(graph.feed(ids[row : row + 1, :length], row), wanted[row : row + 1, :length])
    # Every row by one token, at its own length.
    for _ in range(3):
        where = graph.lengths.copy()
        next_ids = ids[np.arange(3), where][:, None]
        same(graph.feed(next_ids), wanted[np.arange(3), where][:, None])
    # Several tokens of one row after its past, of which two are asked for; then one of that row alone.
    for row in range(3):
        start = int(graph.lengths[row])
        found = graph.feed(ids[row : row + 1, start : start + 5], row, kept=np.array([4, 1]))
        same(found, wanted[row : row + 1, [start + 4, start + 1]])
        same(graph.feed(ids[row : row + 1, start + 5 : start + 6], row), wanted[row : row + 1, start + 5 : start + 6])


PROMPTS = (1, 7, 40)
CAPACITY_USED = 40 + 3 + 5 + 1
