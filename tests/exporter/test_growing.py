"""Models that write and that no reader knows: traced, from the folder to what the runtime writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import pytest
import torch
import transformers

from onnxpress import Artifact
from onnxpress.cli.inspection import describe
from onnxpress.engine.session import Session
from onnxpress.generation.decoders.models import decoder_model, encoder_decoder_model
from onnxpress.generation.generate import complete
from onnxpress.generation.settings import GenerationConfig
from onnxpress_exporter import export
from onnxpress_exporter.errors import NotBuildable, TraceError, UnsupportedCheckpoint
from onnxpress_exporter.graphs.generating import build
from onnxpress_exporter.graphs.traced_cache import modules, traced_limit
from onnxpress_exporter.graphs.traced_cache.cache import kept_by_decoder
from onnxpress_exporter.graphs.traced_cache.rotations import held
from onnxpress_exporter.passes.expert_weights import expert_weights
from tests.fixtures.writers import writer

#: Tokens of prompts, and of what is written: together far more than Mixtral's window of 9.
PROMPTS, WRITTEN = (21, 3, 33), 24
FIRST, LAST = 6, 90


def prompts(lengths: Sequence[int]) -> list[list[int]]:
    rng = np.random.default_rng(len(lengths))
    return [[int(token) for token in rng.integers(FIRST, LAST, length)] for length in lengths]


def written_by_pytorch(model: Any, ids: list[int], beams: int = 1, **more: torch.Tensor) -> list[int]:
    settings = transformers.GenerationConfig(
        max_new_tokens=WRITTEN, num_beams=beams, do_sample=False, pad_token_id=0, decoder_start_token_id=2
    )
    model.generation_config = transformers.GenerationConfig()
    given = torch.tensor([ids])
    found = model.generate(given, attention_mask=torch.ones_like(given), generation_config=settings, **more)[0]
    return [int(token) for token in found[0 if more else len(ids) :]]


def written(artifact: Artifact, precision: str, texts: list[list[int]]) -> list[list[int]]:
    session = Session(artifact.graphs(precision))
    decoder = decoder_model(artifact.manifest, session).start(len(texts), 0)
    found = complete(decoder, texts, GenerationConfig(max_new_tokens=WRITTEN))
    session.close()
    return [list(one.ids) for (one,) in found]


def nodes(artifact: Artifact, precision: str, graph: str = "model") -> Counter[str]:
    model = onnx_ir.load(artifact.folder / artifact.manifest.variants[precision].graphs[graph].file)
    return Counter(node.op_type for node in model.graph)


#: name -> the variants made, why its graph is traced, the products with weights that are small in them.
DECODERS = {
    "phi": (("fp32",), "its weight model.layers.0.self_attn.q_layernorm.weight is not known", 7),
    # Keys, values and the router have few weights.
    "mixtral": (("fp32", "q8"), "no reader knows the architecture 'mixtral'", 2 + 3 * 2 + 1),
    "mpt": (("fp32", "q4"), "no reader knows the architecture 'mpt'", 5),
    "falcon": (("fp32", "q8"), "alibi is True", 5),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly if name != "mixtral" else ()) for name in DECODERS]
)
def test_a_decoder_writes_what_transformers_does(name: str, tmp_path: Path) -> None:
    precisions, reason, products = DECODERS[name]
    made = writer(name, tmp_path / name)
    artifact = export(made, tmp_path / "out", None, precisions)
    assert set(artifact.manifest.variants) == set(precisions)
    assert f"traced: {reason}" in describe(artifact.manifest, width=200)
    assert "(growing cache); at most 160 tokens" in describe(artifact.manifest, width=200)
    model = transformers.AutoModelForCausalLM.from_pretrained(made).eval()
    texts = prompts(PROMPTS)
    assert written(artifact, "fp32", texts) == [written_by_pytorch(model, ids) for ids in texts]
    for precision in precisions[1:]:
        assert nodes(artifact, precision)["MatMulNBits"] == products
        assert nodes(artifact, precision)["MatMul"] == nodes(artifact, "fp32")["MatMul"] - products
        assert len(written(artifact, precision, texts[:1])[0]) == WRITTEN


@pytest.mark.nightly
def test_an_encoder_decoder_writes_what_transformers_does(tmp_path: Path) -> None:
    made = writer("mvp", tmp_path / "mvp")
    artifact = export(made, tmp_path / "out", "summarization", ("fp32", "q8"))
    assert "traced: no reader knows the architecture 'mvp' (growing cache); at most 96" in describe(
        artifact.manifest, 200
    )
    graphs = artifact.manifest.graphs
    assert [one.name for one in graphs["encoder_model"].outputs] == ["present.0.encoder.key", "present.0.encoder.value"]
    # What the decoder does with a token is no part of the encoder's graph: 6 products of its layer, 2 of the text.
    assert (
        nodes(artifact, "q8", "encoder_model")["MatMulNBits"],
        nodes(artifact, "q8", "decoder_model_merged")["MatMulNBits"],
    ) == (8, 9)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(made).eval()
    texts = prompts((17, 6))
    ids, mask = np.ones((2, 17), np.int64), np.zeros((2, 17), np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = text, 1
    session = Session(artifact.graphs("fp32"))
    for beams in (1, 3):
        decoder = encoder_decoder_model(artifact.manifest, session).encode(ids, mask, 0)
        settings = GenerationConfig(max_new_tokens=WRITTEN, num_beams=beams)
        found = complete(decoder, [[2], [2]], settings, texts=texts)
        for (one,), text in zip(found, texts, strict=True):
            expected = written_by_pytorch(model, text, beams, decoder_input_ids=torch.tensor([[2]]))
            assert [2, *one.ids] == expected
    # Rows of different lengths, which no mask tells apart, are read one by one.
    decoder = encoder_decoder_model(artifact.manifest, session).encode(ids, mask, 0)
    decoder.prefill(0, [2])
    decoder.prefill(1, [2, 9, 8, 7])
    together = decoder.step(np.array([11, 12]))
    with torch.inference_mode():
        for row, own in enumerate(([2, 11], [2, 9, 8, 7, 12])):
            alone = model(input_ids=torch.tensor([texts[row]]), decoder_input_ids=torch.tensor([own]))
            np.testing.assert_allclose(together[row], alone.logits[0, -1].numpy(), rtol=0, atol=1e-4)
    session.close()


_SIZES = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2}
_HEADS = {**_SIZES, "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 48}
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "scores that look ahead": (
        "XLNetConfig",
        {"vocab_size": 99, "d_model": 32, "n_layer": 1, "n_head": 2, "d_inner": 48},
        "a token's scores change with the tokens after it",
    ),
    "one token at a time": (
        "ProphetNetConfig",
        {
            "vocab_size": 99,
            "hidden_size": 32,
            "num_encoder_layers": 1,
            "num_decoder_layers": 1,
            "num_encoder_attention_heads": 2,
            "num_decoder_attention_heads": 2,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
        },
        "does not run in pieces.*`decoder_input_ids` of length 1",
    ),
    "tokens that see those after them": (
        "FSMTConfig",
        {
            "langs": ["en", "de"],
            "src_vocab_size": 99,
            "tgt_vocab_size": 99,
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "max_position_embeddings": 64,
        },
        "in pieces other scores than those of one call: one sees tokens after it",
    ),
    "experts that are full": (
        "NllbMoeConfig",
        {
            "vocab_size": 99,
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "num_experts": 4,
            "encoder_sparse_step": 2,
            "decoder_sparse_step": 2,
            "moe_eval_capacity_token_fraction": 0.25,
            "max_position_embeddings": 64,
        },
        "in pieces other scores.*experts take so many tokens of a call and no more",
    ),
}


def test_what_keeps_something_unknown_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow, and said; where that cannot be either, both reasons are."""
    from onnxpress_exporter.graphs import traced_cache

    def refuse(model: Any) -> Any:
        raise TraceError("layer 0 keeps what nobody knows")

    sizes = {"vocab_size": 99, "d_model": 32, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 48}
    model = transformers.AutoModelForCausalLM.from_config(transformers.BartConfig(**sizes, is_decoder=True)).eval()
    monkeypatch.setattr(traced_cache, "trace_decoder", refuse)
    monkeypatch.setattr(traced_cache, "trace_whole", lambda model: "a graph")
    monkeypatch.setattr("onnxpress_exporter.graphs.generating.read", lambda model: refuse_to_build())
    built = build(model)
    assert (built.cache, dict(built.graphs)) == ("none", {"model": "a graph"})
    assert "fits no graph here: layer 0 keeps what nobody knows; it keeps nothing" in (built.traced or "")
    monkeypatch.setattr(traced_cache, "trace_whole", refuse)
    with pytest.raises(UnsupportedCheckpoint, match=r"either: layer 0 keeps what nobody knows\.$"):  # once
        build(model)

    def refuse_whole(model: Any) -> Any:
        raise TraceError("it counts its rows")

    monkeypatch.setattr(traced_cache, "trace_whole", refuse_whole)
    with pytest.raises(UnsupportedCheckpoint, match="nobody knows; nor read whole for every token: it counts its rows"):
        build(model)


def refuse_to_build() -> Any:
    raise NotBuildable("no reader knows it")


@pytest.mark.parametrize(
    ("kind", "message"),
    [("RoCBertConfig", 'it keeps nothing .* tokens after it .*"is_decoder" is false')],
)
def test_models_that_read_in_both_directions_are_refused(kind: str, message: str) -> None:
    config = getattr(transformers, kind)(**_HEADS, shape_embed_dim=8, pronunciation_embed_dim=8)
    with pytest.raises(UnsupportedCheckpoint, match=message):
        build(transformers.AutoModelForCausalLM.from_config(config).eval())


def test_layers_that_attend_to_the_keys_of_others_keep_none() -> None:
    config = transformers.Gemma3nTextConfig(
        **{**_HEADS, "num_hidden_layers": 5, "head_dim": 8, "intermediate_size": [48] * 5},
        layer_types=["sliding_attention", "full_attention"] * 2 + ["sliding_attention"],
        num_kv_shared_layers=2,
        activation_sparsity_pattern=[0.0] * 5,
        hidden_size_per_layer_input=8,
        vocab_size_per_layer_input=99,
        laurel_rank=8,
        sliding_window=8,
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        layers = kept_by_decoder(model)
        assert len(layers) == 3
        assert modules.hides_padding(model, layers)


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_traced_is_refused_with_the_reason(case: str) -> None:
    kind, sizes, message = REFUSED[case]
    config = getattr(transformers, kind)(**sizes)
    auto = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
    with pytest.raises(UnsupportedCheckpoint, match=f"no reader knows.*and not be traced either: .*{message}"):
        build(auto.from_config(config).eval())


def test_rows_end_where_an_indexer_would_begin_to_choose() -> None:
    sizes = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
    indexer = {"index_n_heads": 2, "index_head_dim": 16, "index_topk": 24, "n_routed_experts": 4, "n_group": 1}
    config = transformers.DeepseekV32Config(**_HEADS, **sizes, **indexer, topk_group=1, moe_intermediate_size=16)
    assert traced_limit(transformers.AutoModelForCausalLM.from_config(config)) == 24


def test_rotations_are_held_below_the_length_at_which_they_change() -> None:
    factors = {"short_factor": [1.0] * 8, "long_factor": [3.0] * 8, "original_max_position_embeddings": 12}
    config = transformers.Phi3Config(
        **{**_HEADS, "pad_token_id": 0, "eos_token_id": 1, "max_position_embeddings": 48},
        original_max_position_embeddings=12,
        rope_parameters={"rope_type": "longrope", "rope_theta": 1e4, **factors},
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(12.0 if weight.ndim > 1 else 1.0)
    ids = torch.arange(40)[None]
    with torch.inference_mode():
        long, short = model(ids).logits[:, :12], model(ids[:, :12]).logits
        assert (long - short).abs().max() > 1e-3
        model(ids)  # leaves the long ones behind
        with held(model):
            assert torch.equal(model(ids[:, :12]).logits, short)
            assert torch.allclose(model(ids).logits[:, :12], short, atol=1e-5)
        assert torch.equal(model(ids).logits[:, :12], long)
    assert traced_limit(model) == 12


def test_every_expert_has_weights_of_its_own() -> None:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((3, 5, 4), np.float32)
    value = onnx_ir.Value(name="w", const_value=onnx_ir.tensor(weights, name="w"))
    x = onnx_ir.Value(name="x", type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT), shape=onnx_ir.Shape(["n", 4]))
    turned = onnx_ir.node("Transpose", [value], {"perm": [0, 2, 1]})
    split = onnx_ir.node("Split", turned.outputs, {"axis": 0, "num_outputs": 3}, num_outputs=3)
    axes = onnx_ir.Value(name="axes", const_value=onnx_ir.tensor(np.array([0]), name="axes"))
    squeezed = [onnx_ir.node("Squeeze", [one, axes]) for one in split.outputs]
    products = [onnx_ir.node("MatMul", [x, one.outputs[0]]) for one in squeezed]
    for number, product in enumerate(products):
        product.outputs[0].name = f"y{number}"
    outputs = [product.outputs[0] for product in products]
    graph = onnx_ir.Graph(
        [x], outputs, nodes=[turned, split, *squeezed, *products], initializers=[value, axes], opset_imports={"": 20}
    )
    model = onnx_ir.Model(graph, ir_version=10)
    assert expert_weights(model) == 3
    assert [node.op_type for node in model.graph] == ["MatMul"] * 3
    for number, node in enumerate(model.graph):
        held_weights = node.inputs[1]
        assert held_weights is not None and held_weights.const_value is not None
        np.testing.assert_array_equal(held_weights.const_value.numpy(), weights[number].T)
    assert expert_weights(model) == 0
