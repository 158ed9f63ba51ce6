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
_SMALL_GPT2 = {
    "vocab_size": VOCABULARY,
    "n_embd": 64,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 96,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
_YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 24}
_LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
_MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
_HALF = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
_OPT = {**_SMALL, "ffn_dim": 80, "word_embed_proj_dim": 64}
_BLOOM = {"vocab_size": VOCABULARY, "hidden_size": 64, "n_layer": 2, "n_head": 4}
_FALCON = {**_SMALL, "ffn_hidden_size": 80}

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
            "rope_parameters": _LLAMA3,
        },
    ),
    "llama yarn": ("llama", {**_SMALL, "rope_parameters": _YARN}),
    "mistral": ("mistral", {**_SMALL, "sliding_window": WINDOW}),
    "qwen2": ("qwen2", {**_SMALL, "tie_word_embeddings": True}),
    "qwen2 window": (
        "qwen2",
        {**_SMALL, "use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {**_SMALL, "head_dim": 32}),
    "smollm3": ("smollm3", {**_SMALL, "no_rope_layers": [1, 0, 1]}),
    "granite": (
        "granite",
        {
            **_SMALL,
            "embedding_multiplier": 3.0,
            "logits_scaling": 2.0,
            "residual_multiplier": 0.4,
            "attention_multiplier": 0.1,
        },
    ),
    "phi3": ("phi3", {**_SMALL, "sliding_window": WINDOW}),
    "phi3 partial": ("phi3", {**_SMALL, "hidden_size": 128, "rope_parameters": _HALF}),
    "olmo": ("olmo", {**_SMALL, "clip_qkv": 0.8}),
    "olmo2": ("olmo2", _SMALL),
    "gemma": ("gemma", {**_SMALL, "head_dim": 16}),
    "gemma2": (
        "gemma2",
        {
            **_SMALL,
            "head_dim": 16,
            "sliding_window": WINDOW,
            "layer_types": _MIXED,
            "query_pre_attn_scalar": 20,
            "attn_logit_softcapping": 3.0,
            "final_logit_softcapping": 5.0,
        },
    ),
    "gemma3": (
        "gemma3_text",
        {
            **_SMALL,
            "head_dim": 16,
            "sliding_window": WINDOW,
            "layer_types": _MIXED,
            "query_pre_attn_scalar": 20,
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                "full_attention": {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0},
            },
        },
    ),
    "phi": ("phi", {**_SMALL, "hidden_size": 128}),
    "stablelm": ("stablelm", {**_SMALL, "hidden_size": 128, "use_qkv_bias": True, "rope_parameters": _HALF}),
    "stablelm parallel": (
        "stablelm",
        {**_SMALL, "hidden_size": 128, "use_parallel_residual": True, "rope_parameters": _HALF},
    ),
    "starcoder2": ("starcoder2", {**_SMALL, "sliding_window": WINDOW, "rope_parameters": _LINEAR}),
    "gpt_neox": ("gpt_neox", {**_SMALL, "hidden_size": 128, "rope_parameters": _HALF}),
    "gpt_neox sequential": ("gpt_neox", {**_SMALL, "use_parallel_residual": False, "rope_parameters": _HALF}),
    "falcon": ("falcon", {**_FALCON, "bias": True}),
    "falcon new": ("falcon", {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon sequential": ("falcon", {**_FALCON, "multi_query": False, "parallel_attn": False, "num_kv_heads": 4}),
    "bloom": ("bloom", _BLOOM),
    "bloom of six heads": ("bloom", {**_BLOOM, "hidden_size": 96, "n_head": 6, "tie_word_embeddings": False}),
    "gptj": ("gptj", {**_SMALL_GPT2, "rotary_dim": 8, "n_embd": 128}),
    "codegen": ("codegen", {**_SMALL_GPT2, "rotary_dim": 16}),
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
    "gpt_neo": (
        "gpt_neo",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 64,
            "num_layers": 3,
            "num_heads": 4,
            "max_position_embeddings": 96,
            "attention_types": [[["global", "local", "local"], 1]],
            "window_size": WINDOW,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "opt": ("opt", _OPT),
    "opt 350m": ("opt", {**_OPT, "do_layer_norm_before": False, "word_embed_proj_dim": 32}),
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
