"""Decoders' graphs that are built, not traced: every architecture's answers against PyTorch's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import onnxruntime
import pytest
import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.graphs.build import build_graphs, decoder_graph, embed_graph, read
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.precisions.row import Blocks
from onnxpress_exporter.quantize.storage import Storage
from tests.fixtures.decoder_configs import BLOOM, CASES, FALCON, LIMIT, OPT, SMALL, SMALL_GPT2, VOCABULARY
from tests.fixtures.decoders import Floats, Graph, tiny

#: Tokens of each row's prompt; what is decoded after it.
PROMPTS = (1, 7, 40)
TOKENS = 40 + 3 + 5 + 1


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> torch.nn.Module:
    model_type, config = CASES[request.param]
    return tiny(CONFIG_MAPPING[model_type](**config))


def graph_of(model: torch.nn.Module) -> onnx_ir.Model:
    return build_graphs(read(model))["model"]


def expected(model: torch.nn.Module, ids: np.ndarray) -> Floats:
    with torch.no_grad():
        return model(torch.from_numpy(ids)).logits.numpy()


def same(found: Floats, wanted: Floats) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * float(np.ptp(wanted)))


def test_every_call_answers_as_pytorch_does(case: torch.nn.Module, tmp_path: Path) -> None:
    assert read(case).decoder.limit == (None if case.config.model_type == "bloom" else LIMIT)
    built = graph_of(case)
    graph = Graph(built, tmp_path, rows=3)
    rng = np.random.default_rng(0)
    ids = rng.integers(3, VOCABULARY, (3, TOKENS))
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


# What the passes find in a built graph.


@pytest.mark.parametrize(("name", "bits"), [("qwen2", 4), ("llama", 4), ("gpt2", 8), ("gemma2", 8)])
def test_every_product_is_quantized_and_a_tied_table_stored_once(name: str, bits: int, tmp_path: Path) -> None:
    model_type, config = CASES[name]
    # Wide enough that the table is a large one.
    width = "n_embd" if model_type == "gpt2" else "hidden_size"
    model = tiny(CONFIG_MAPPING[model_type](**{**config, width: 128, "vocab_size": 1000}))
    built = graph_of(model)
    made = Storage(built)
    plan = {site.value: Blocks(bits) for site in made.sites}
    small = made.build(plan, PRECISIONS[f"q{bits}"].embeddings)
    counts = Counter(node.op_type for node in small.graph)
    products = sum(node.op_type == "MatMul" for node in built.graph)
    assert counts["MatMul"] == 0 and counts["MatMulNBits"] == products == 3 * 4 + 1

    (embedding,) = (node for node in small.graph if node.op_type == "GatherBlockQuantized")
    rows = embedding.inputs[0]
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert rows is not None and tied == (len(rows.uses()) == 2) == (name != "llama")

    ids = np.random.default_rng(0).integers(3, 1000, (1, 12))
    wanted = expected(model, ids)
    graph = Graph(small, tmp_path, rows=1)
    found = np.concatenate([graph.feed(ids[:, :8]), *(graph.feed(ids[:, i : i + 1]) for i in range(8, 12))], axis=1)
    correlation = np.corrcoef(found.ravel(), wanted.ravel())[0, 1]
    assert correlation > {4: 0.75, 8: 0.995}[bits]


def test_the_graph_is_small() -> None:
    counts = Counter(node.op_type for node in graph_of(tiny(CONFIG_MAPPING["qwen2"](**SMALL))).graph)
    layer = {
        "MatMul": 4,
        "Add": 1,
        "GroupQueryAttention": 1,
        "SimplifiedLayerNormalization": 2,
        "Sum": 2,
        "Split": 1,
        "QuickGelu": 1,
        "Mul": 1,
    }
    around = {"Gather": 2, "MatMul": 1, "SimplifiedLayerNormalization": 1}
    assert counts == Counter({name: 3 * count for name, count in layer.items()}) + Counter(around)


@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom", "gemma", "opt 350m", "gpt_neox"])
def test_vectors_may_be_given_instead_of_ids(name: str, tmp_path: Path) -> None:
    """The embedding's graph and that of the rest answer as the whole does, whatever positions and head it has."""
    model_type, config = CASES[name]
    architecture = read(tiny(CONFIG_MAPPING[model_type](**config)))
    folders = [tmp_path / part for part in ("whole", "rest")]
    for folder in folders:
        folder.mkdir()
    graphs = decoder_graph(architecture), decoder_graph(architecture, takes_embeds=True)
    whole, rest = (Graph(graph, folder, rows=2) for graph, folder in zip(graphs, folders, strict=True))
    first, *others = (value.name for value in graphs[1].graph.inputs)
    assert first == "inputs_embeds" and others == [value.name for value in graphs[0].graph.inputs][1:]
    onnx_ir.save(embed_graph(architecture), tmp_path / "embed.onnx")
    embed = onnxruntime.InferenceSession(tmp_path / "embed.onnx", providers=["CPUExecutionProvider"])

    def same_for(ids: np.ndarray, row: int | None = None) -> None:
        (embeds,) = embed.run(None, {"input_ids": ids})
        np.testing.assert_array_equal(rest.feed(ids, row, embeds=embeds), whole.feed(ids, row))

    ids = np.random.default_rng(0).integers(3, VOCABULARY, (2, 12))
    for row, length in enumerate((9, 4)):
        same_for(ids[row : row + 1, :length], row)
    same_for(ids[:, 9:10])
    same_for(ids[1:, 10:], 1)


def test_weights_are_not_copied_before_they_are_asked_for() -> None:
    model = tiny(CONFIG_MAPPING["llama"](**SMALL))
    built = graph_of(model)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.fill_(3.0)
    read = built.graph.initializers["layers.0.feed_forward.down.weight"].const_value
    assert read is not None and (read.numpy() == 3.0).all()


# What no reader knows.


@pytest.mark.parametrize(
    ("model_type", "config", "reason"),
    [
        ("gpt_bigcode", SMALL_GPT2, "no reader knows the architecture 'gpt_bigcode'"),
        ("mixtral", {**SMALL, "num_local_experts": 2}, "no reader knows the architecture 'mixtral'"),
        (
            "llama",
            {**SMALL, "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}},
            "rope_type is 'dynamic'",
        ),
        ("llama", {**SMALL, "head_dim": 20}, "its heads are 20 wide, not a multiple of 8"),
        ("cohere", {**SMALL, "use_qk_norm": True}, "its weight .*_norm.weight is not known"),
        ("gpt2", {**SMALL_GPT2, "add_cross_attention": True}, "look at what an encoder has read, which it lacks"),
        ("llama", {**SMALL, "hidden_act": "mish"}, "activation 'mish' has no operator"),
        ("phi", {**SMALL, "hidden_size": 128, "qk_layernorm": True}, "its weight .*layernorm.* is not known"),
        ("falcon", {**FALCON, "alibi": True}, "alibi is True"),
        ("bloom", {**BLOOM, "apply_residual_connection_post_layernorm": True}, "apply_residual"),
        ("gemma", {**SMALL, "use_bidirectional_attention": True}, "use_bidirectional_attention is True"),
        ("opt", {**OPT, "layer_norm_elementwise_affine": False}, "layer_norm_elementwise_affine is False"),
    ],
)
def test_what_is_not_known_is_refused(model_type: str, config: dict[str, Any], reason: str) -> None:
    model = tiny(CONFIG_MAPPING[model_type](**config))
    with pytest.raises(NotBuildable, match=reason):
        read(model)


def test_only_language_models_are_read() -> None:
    model = transformers.AutoModelForSequenceClassification.from_config(CONFIG_MAPPING["gpt2"](**SMALL_GPT2))
    with pytest.raises(NotBuildable, match=r"^GPT2ForSequenceClassification is not a language model$"):
        read(model)
