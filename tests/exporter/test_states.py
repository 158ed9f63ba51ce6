"""What models keep, read from tiny ones of every family, and graphs of those that keep a state, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from onnxpress.engine.session import Session
from onnxpress.generation.decoders.graph import read
from onnxpress.generation.decoders.growing import GrowingDecoder
from onnxpress.generation.decoders.rows import RowsDecoder
from onnxpress.generation.decoders.traced import TracedModel
from onnxpress.generation.generate import complete
from onnxpress.generation.settings import GenerationConfig
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.graphs.generating import build
from onnxpress_exporter.graphs.lengths import attend_in_full, refuse_length_dependent
from onnxpress_exporter.graphs.traced_cache import modules, states
from onnxpress_exporter.source.checkpoint import open_checkpoint
from onnxpress_exporter.tasks.loading import load_model
from onnxpress_exporter.write.save import save
from tests.fixtures.graphs import info_of

_SIZES = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2}
_HEADS = {
    **_SIZES,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "pad_token_id": 0,
}
_SSM = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8}
_DELTA = {
    **_HEADS,
    "num_hidden_layers": 4,
    "head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
_ZAMBA = {
    **_HEADS,
    "num_key_value_heads": 4,
    "num_hidden_layers": 3,
    "layers_block_type": ["linear_attention", "hybrid", "hybrid"],
    "mamba_d_state": 8,
}
_EXPERTS = {
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}

#: Config's class -> sizes. States alone; with keys in other layers; with keys in the same layer.
STATES: Mapping[str, Mapping[str, Any]] = {
    "MambaConfig": {**_SIZES, "state_size": 4},
    "FalconMambaConfig": {**_SIZES, "state_size": 4},
    "Mamba2Config": {**_SIZES, "state_size": 8, "head_dim": 16, "num_heads": 4, "n_groups": 1, "chunk_size": 8},
    "JambaConfig": {
        **_HEADS,
        "num_experts": 2,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "use_mamba_kernels": False,
        "mamba_d_state": 4,
    },
    "FalconH1Config": {**_HEADS, "mamba_d_ssm": 64, **_SSM},
    "BambaConfig": {**_HEADS, **_SSM, "attn_layer_indices": [1]},
    "OlmoHybridConfig": {**_DELTA, "linear_num_key_heads": 4},
    "Qwen3NextConfig": {**_DELTA, **_EXPERTS},
    "Qwen3_5TextConfig": _DELTA,
    "Lfm2Config": {**_HEADS, "layer_types": ["conv", "full_attention"]},
    "ZambaConfig": {**_ZAMBA, "attention_head_dim": 16, "n_mamba_heads": 2, "mamba_dt_rank": 4},
    "Zamba2Config": {
        **_ZAMBA,
        "mamba_headdim": 8,
        "n_mamba_heads": 8,
        "mamba_ngroups": 1,
        "num_mem_blocks": 1,
        "chunk_size": 8,
        "adapter_rank": 4,
    },
    "NemotronHConfig": {
        **_HEADS,
        "layers_block_type": ["mamba", "attention", "moe"],
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "ssm_state_size": 8,
        "n_groups": 1,
        "chunk_size": 8,
        "head_dim": 8,
        "moe_intermediate_size": 16,
        "moe_shared_expert_intermediate_size": 16,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
    },
    "RwkvConfig": {**_SIZES, "context_length": 64, "attention_hidden_size": 32, "intermediate_size": 48},
    "xLSTMConfig": {
        **_SIZES,
        "hidden_size": 64,
        "embedding_dim": 64,
        "num_blocks": 2,
        "num_heads": 4,
        "chunk_size": 16,
        "qk_dim_factor": 1.0,
        "v_dim_factor": 1.0,
    },
}


_LAYERS = {**_HEADS, "num_hidden_layers": 3, "head_dim": 8, "sliding_window": 8, "vocab_size_per_layer_input": 99}

#: Keys and values alone, of sizes of their own: compressed, shared by layers, of another size in some layers.
KEYS: Mapping[str, Mapping[str, Any]] = {
    "DeepseekV3Config": {
        **_HEADS,
        "num_key_value_heads": 4,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
        "n_routed_experts": 4,
        "n_group": 1,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "first_k_dense_replace": 1,
    },
    "Gemma3nTextConfig": {
        **_LAYERS,
        "layer_types": ["sliding_attention", "full_attention", "full_attention"],
        "num_kv_shared_layers": 1,
        "intermediate_size": [48] * 3,
        "activation_sparsity_pattern": [0.0] * 3,
        "hidden_size_per_layer_input": 8,
        "laurel_rank": 8,
    },
    "Gemma4TextConfig": {
        **_LAYERS,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        "hidden_size_per_layer_input": 8,
        "per_layer_config": {"02": {"head_dim": 16}},
    },
}


def model_of(kind: str, sizes: Mapping[str, Any]) -> Any:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, kind)(**sizes)).eval()
    model.generation_config = transformers.GenerationConfig(pad_token_id=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(std=2 * weight.shape[-1] ** -0.5, generator=generator)
    return model.requires_grad_(False)


@pytest.mark.parametrize("kind", STATES)
def test_a_text_read_token_by_token_has_the_scores_of_the_text_read_whole(kind: str) -> None:
    model = model_of(kind, STATES[kind])
    assert states.keeps_states(model)
    step = states.step_of(model)
    states.check_steps(step)
    assert any("past" not in entry.axes for entry in step.entries)


@pytest.mark.parametrize("kind", ["Zamba2Config", "NemotronHConfig", "BambaConfig"])
def test_time_steps_have_limits_in_prompts_alone(kind: str) -> None:
    """As in transformers, whose update by one token knows none: what it has written is read otherwise than a prompt."""
    limits = {"time_step_min": 0.7} if kind != "BambaConfig" else {"time_step_limit": (0.7, 0.9)}
    model = model_of(kind, {**STATES[kind], **limits})
    prompt = [7, 8, 9, 30, 31, 32]
    with_cache, without = (
        model.generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False, use_cache=caches)[0, 6:].tolist()
        for caches in (True, False)
    )
    assert with_cache != without
    step = states.step_of(model)
    states.check_steps(step)
    for expected, marked in ((with_cache, len(prompt)), (without, len(prompt) + len(with_cache))):
        for count in range(len(expected)):
            scores = step.read([*prompt, *expected[:count]], marked)[0, -1]
            assert int(scores.argmax()) == expected[count]


def written(model: TracedModel, prompts: Sequence[Sequence[int]], beams: int = 1) -> list[list[int]]:
    config = GenerationConfig(max_new_tokens=8, num_beams=beams)
    return [list(texts[0].ids) for texts in complete(model.start(len(prompts), 0), prompts, config)]


@pytest.mark.filterwarnings("ignore")  # of tracing; `export` keeps them quiet
@pytest.mark.parametrize(
    ("kind", "sizes", "cache"),
    [
        *(
            pytest.param(kind, STATES[kind], "state", marks=pytest.mark.nightly)
            for kind in STATES
            if kind != "FalconH1Config"
        ),
        pytest.param(
            "FalconH1Config",
            {**STATES["FalconH1Config"], "num_hidden_layers": 1},
            "state",
            marks=pytest.mark.nightly,
        ),
        *(pytest.param(kind, KEYS[kind], "growing", marks=pytest.mark.nightly) for kind in KEYS),
        ("OpenAIGPTConfig", {"vocab_size": 99, "n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 64}, "none"),
    ],
)
def test_graphs_write_what_transformers_does(kind: str, sizes: Mapping[str, Any], cache: str, tmp_path: Path) -> None:
    model = model_of(kind, sizes)
    built = build(model)
    assert built.cache == cache
    said = {"state": "one token at a time", "none": "reads the whole text again", "growing": "no reader knows"}
    assert said[cache] in (built.traced or "")
    save(built.graphs["model"], tmp_path / "model.onnx")
    graph = read("model", info_of(built.graphs["model"]), cache)
    session = Session({"model": tmp_path / "model.onnx"}, threads=1)
    prompts = [[7, 8, 9, 30, 31, 32, 33, 60, 61, 5, 6, 7], [40, 41, 42], [50]]
    for beams in (1, 3):
        decoder = GrowingDecoder if cache == "growing" else RowsDecoder
        found = written(TracedModel(decoder, session, graph, built.limit), prompts, beams)
        for prompt, tokens in zip(prompts, found, strict=True):
            # transformers searches with beams over its own layers of a cache alone.
            caches = kind not in ("RwkvConfig", "xLSTMConfig")
            expected = model.generate(
                torch.tensor([prompt]), max_new_tokens=8, num_beams=beams, do_sample=False, use_cache=caches
            )
            assert tokens == expected[0, len(prompt) :].tolist()
    session.close()


@pytest.mark.parametrize("kind", ["RobertaConfig", "XLMRobertaConfig", "CamembertConfig", "BertConfig"])
def test_positions_begin_where_the_model_begins_them(kind: str) -> None:
    model = model_of(kind, {**_HEADS, "is_decoder": True, "max_position_embeddings": 40, "pad_token_id": 1})
    ids = torch.tensor([[7, 8, 9, 10]])
    first = modules.first_position(model)
    assert first == (0 if kind == "BertConfig" else 2)
    assert torch.equal(model(ids).logits, model(ids, position_ids=first + torch.arange(4)[None]).logits)


def test_the_decoder_of_bigbird_pegasus_alone_attends_in_full() -> None:
    sizes = {"vocab_size": 99, "d_model": 32, "decoder_layers": 1, "decoder_attention_heads": 2}
    config = transformers.BigBirdPegasusConfig(**sizes, decoder_ffn_dim=48)
    refuse_length_dependent(transformers.AutoModelForCausalLM.from_config(config))


def test_a_bigbird_that_continues_text_attends_in_full() -> None:
    """transformers switches to full attention at the first short text, for good; blocks would show it what follows."""
    sizes = {"block_size": 2, "num_random_blocks": 1, "max_position_embeddings": 64, "is_decoder": True}
    model = model_of("BigBirdConfig", {**_HEADS, **sizes})
    refuse_length_dependent(model)
    assert "in full" in attend_in_full(model) and attend_in_full(model) == ""
    ids = torch.arange(5, 45)[None]
    long = model(ids).logits[:, :9]
    torch.testing.assert_close(long, model(ids[:, :9]).logits, rtol=1e-4, atol=1e-4)


def test_attention_that_changes_with_the_length_is_refused() -> None:
    sizes = {"vocab_size": 99, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
    config = transformers.BigBirdPegasusConfig(**sizes, **heads)
    with pytest.raises(UnsupportedCheckpoint, match="original_full"):
        build(transformers.AutoModelForSeq2SeqLM.from_config(config).eval())


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("Gemma3TextConfig", {**_HEADS, "head_dim": 8}),
        ("Llama4TextConfig", {**_HEADS, "head_dim": 8, "intermediate_size_mlp": 48, "num_local_experts": 2}),
    ],
)
def test_text_models_of_larger_families_are_text_models(kind: str, sizes: Mapping[str, Any], tmp_path: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, kind)(**sizes))
    model.save_pretrained(tmp_path)
    assert type(load_model(open_checkpoint(tmp_path), "text-generation")) is type(model)
    assert np.isfinite(model(torch.tensor([[5, 6]])).logits.detach().numpy()).all()
