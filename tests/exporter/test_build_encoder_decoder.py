"""Encoder-decoders' graphs that are built, not traced: every architecture's answers against PyTorch's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx_ir
import pytest
import scipy.special
import torch
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.graphs.build import build_graphs, decoder_graph, embed_graph, read
from onnxpress_exporter.passes.tied_embeddings import tied_tables
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.quantize.storage import Storage, is_past
from tests.fixtures.encoder_decoder_configs import CASES, DISTANCE, PAD, T5, VOCABULARY
from tests.fixtures.encoder_decoders import CAPACITY, Floats, Graphs, session, tiny
from tests.fixtures.quantized import built, first_scheme

TEXT_LENGTHS = (17, 4, 9)
LENGTHS = tuple(enumerate(TEXT_LENGTHS))


def made(name: str, **changed: object) -> torch.nn.Module:
    model_type, config = CASES[name]
    return tiny(CONFIG_MAPPING[model_type](**{**config, **changed}))


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> torch.nn.Module:
    return made(request.param)


def texts() -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask, int64 (texts, longest), padded on the right."""
    ids = np.random.default_rng(1).integers(3, VOCABULARY, (len(TEXT_LENGTHS), max(TEXT_LENGTHS)))
    mask = (np.arange(max(TEXT_LENGTHS)) < np.array(TEXT_LENGTHS)[:, None]).astype(np.int64)
    return np.where(mask == 1, ids, PAD), mask


def expected(model: torch.nn.Module, ids: np.ndarray, mask: np.ndarray, written: np.ndarray) -> Floats:
    repeats = len(written) // len(ids)
    with torch.no_grad():
        answer = model(
            input_ids=torch.from_numpy(ids).repeat_interleave(repeats, 0),
            attention_mask=torch.from_numpy(mask).repeat_interleave(repeats, 0),
            decoder_input_ids=torch.from_numpy(written),
            use_cache=False,
        )
    return answer.logits.numpy()


def same(found: Floats, wanted: Floats, span: float) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * span)


def test_every_call_answers_as_pytorch_does(case: torch.nn.Module, tmp_path: Path) -> None:
    graphs = Graphs(build_graphs(read(case)), tmp_path)
    ids, mask = texts()
    rng = np.random.default_rng(2)
    for beams, first in ((1, 1), (3, 5)):
        written = rng.integers(3, VOCABULARY, (len(ids) * beams, first + 2 * DISTANCE))
        wanted = expected(case, ids, mask, written)
        span = float(np.ptp(wanted))
        # Answers that hardly depend on the text, or on what was written, would pass any comparison.
        other = expected(case, ids[::-1].copy(), mask[::-1].copy(), written)
        assert np.abs(other[0] - wanted[0]).max() > 0.02 * span
        assert np.abs(expected(case, ids, mask, written[:, 1:])[:, -1] - wanted[:, -1]).max() > 1e-3 * span

        # The first token of every row at once, as no row has a past; then, over it, every row's own beginning.
        graphs.encode(ids, mask, beams)
        same(graphs.feed(written[:, :1], 0), wanted[:, :1], span)
        for row in range(len(written)):
            same(graphs.feed(written[row : row + 1, :first], 0, row), wanted[row : row + 1, :first], span)
        for past in range(first, written.shape[1] - 4):
            same(graphs.feed(written[:, past : past + 1], past), wanted[:, past : past + 1], span)
        # Several more of one row, of which two are asked for.
        past, kept = written.shape[1] - 4, np.array([3, 0])
        for row in range(len(written)):
            found = graphs.feed(written[row : row + 1, past:], past, row, kept)
            same(found, wanted[row : row + 1, past + kept], span)
        assert written.shape[1] <= CAPACITY


def test_a_text_is_the_same_whatever_it_is_padded_with(case: torch.nn.Module, tmp_path: Path) -> None:
    graphs = Graphs(build_graphs(read(case)), tmp_path)
    ids, mask = texts()
    first = graphs.encode(ids, mask)
    changed = graphs.encode(np.where(mask == 1, ids, VOCABULARY - 1), mask)
    longer = graphs.encode(np.pad(ids, [(0, 0), (0, 5)], constant_values=PAD), np.pad(mask, [(0, 0), (0, 5)]))
    for name, value in first.items():
        for text, length in enumerate(TEXT_LENGTHS):
            np.testing.assert_array_equal(changed[name][text, :, :length], value[text, :, :length])
            np.testing.assert_allclose(longer[name][text, :, :length], value[text, :, :length], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["t5", "bart", "blenderbot-small"])
def test_the_decoder_may_take_vectors_instead_of_ids(name: str, tmp_path: Path) -> None:
    architecture = read(made(name))
    whole = Graphs(build_graphs(architecture), tmp_path)
    ids, mask = texts()
    whole.encode(ids[:1], mask[:1])
    written = np.random.default_rng(2).integers(3, VOCABULARY, (1, 7))
    given = whole.given(written, 0)
    wanted = whole.feed(written, 0)
    embed = session(embed_graph(architecture), tmp_path / "embed.onnx")
    (given["inputs_embeds"],) = embed.run(None, {"input_ids": given.pop("input_ids")})
    rest = session(decoder_graph(architecture, takes_embeds=True), tmp_path / "rest.onnx")
    np.testing.assert_array_equal(rest.run(["logits"], given)[0], wanted)


def test_a_head_that_is_the_words_table_is_stored_once() -> None:
    graph = build_graphs(read(made("t5")))["decoder_model_merged"]
    assert tied_tables(graph) == {"logits": "decoder.embedding"}
    assert not tied_tables(build_graphs(read(made("bart untied")))["decoder_model_merged"])


@pytest.mark.parametrize(
    ("name", "inner"), [("t5", {"d_ff": 96}), ("bart", {"encoder_ffn_dim": 96, "decoder_ffn_dim": 96})]
)
def test_every_product_becomes_one_of_integers(name: str, inner: dict[str, object], tmp_path: Path) -> None:
    model = made(name, d_model=64, **inner)
    graphs = build_graphs(read(model))
    plain = Graphs(graphs, tmp_path)
    ids, mask = texts()
    written = np.random.default_rng(2).integers(3, VOCABULARY, (len(ids), 24))
    encoded = plain.encode(ids, mask)
    inputs = {
        "encoder_model": [{"input_ids": ids[i : i + 1, :n], "attention_mask": mask[i : i + 1, :n]} for i, n in LENGTHS],
        "decoder_model_merged": [plain.given(written[i : i + 1], 0, i) for i, _ in LENGTHS],
    }
    small = {kind: with_integers(graph, inputs[kind]) for kind, graph in graphs.items()}
    products = {kind: sum(node.op_type == "MatMul" for node in graph.graph) for kind, graph in graphs.items()}
    # The encoder has keys and values for each of the decoder's layers, the decoder the head.
    assert products == {"encoder_model": 3 * 6 + 2 * 2, "decoder_model_merged": 2 * 6 + 1}
    counts = {kind: Counter(node.op_type for node in graph.graph) for kind, graph in small.items()}
    assert {kind: one["MatMulIntegerToFloat"] for kind, one in counts.items()} == products
    assert not any(one["MatMul"] for one in counts.values())

    found = Graphs(small, tmp_path)
    for key, value in found.encode(ids, mask).items():
        assert alike(value[0], encoded[key][0])
    steps = [found.feed(written[:, past : past + 1], past) for past in range(written.shape[1])]
    assert alike(np.concatenate(steps, axis=1), expected(model, ids, mask, written))


def with_integers(graph: onnx_ir.Model, inputs: list[dict[str, np.ndarray]]) -> onnx_ir.Model:
    storage = Storage(graph)
    storage.watch(inputs)
    return built(storage, "int8")


def alike(found: Floats, wanted: Floats) -> bool:
    # T5's scores are not scaled: random weights make them large, and what attention picks a matter of rounding.
    return bool(np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.97)


def test_a_bias_of_zeros_is_left_out() -> None:
    model = made("bart")
    assert "head.bias" in build_graphs(read(model))["decoder_model_merged"].graph.initializers
    model.final_logits_bias.zero_()
    assert "head.bias" not in build_graphs(read(model))["decoder_model_merged"].graph.initializers


def test_axes_and_dtypes_are_the_contract_s() -> None:
    graphs = build_graphs(read(made("bart")))
    described = {
        name: [(one.name, str(one.dtype), [str(size) for size in one.shape or ()]) for one in values]
        for name, values in (
            ("encoder in", graphs["encoder_model"].graph.inputs),
            ("encoder out", graphs["encoder_model"].graph.outputs[:2]),
            ("in", [one for one in graphs["decoder_model_merged"].graph.inputs if ".1." not in str(one.name)]),
            ("out", graphs["decoder_model_merged"].graph.outputs[:4]),
        )
    }
    source, heads = ["texts", "encoder_sequence"], ["texts", "4", "encoder_sequence", "8"]
    own = ["rows", "4", "capacity", "8"]
    assert described == {
        "encoder in": [("input_ids", "INT64", source), ("attention_mask", "INT64", source)],
        "encoder out": [("present.0.encoder.key", "FLOAT", heads), ("present.0.encoder.value", "FLOAT", heads)],
        "in": [
            ("input_ids", "INT64", ["rows", "sequence"]),
            ("position_ids", "INT64", ["rows", "sequence"]),
            ("encoder_attention_mask", "INT64", source),
            ("seqlens_k", "INT32", ["rows"]),
            ("total_sequence_length", "INT32", []),
            ("logits_to_keep", "INT64", ["kept"]),
            ("past_key_values.0.decoder.key", "FLOAT", own),
            ("past_key_values.0.decoder.value", "FLOAT", own),
            ("past_key_values.0.encoder.key", "FLOAT", heads),
            ("past_key_values.0.encoder.value", "FLOAT", heads),
            ("with_log_normalizer", "BOOL", []),
        ],
        "out": [
            ("logits", "FLOAT", ["rows", "kept", str(VOCABULARY)]),
            ("log_normalizer", "FLOAT", ["rows", "kept", "1"]),
            ("present.0.decoder.key", "FLOAT", own),
            ("present.0.decoder.value", "FLOAT", own),
        ],
    }


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["t5", "bart"])
def test_sums_of_exponentials_are_those_of_the_scores_returned(name: str, precision: str, tmp_path: Path) -> None:
    """Of every variant's own scores, to more digits than 16 bits have; and where a token is forbidden by its bias."""
    model = made(name, d_model=64)
    if name == "bart":
        model.final_logits_bias[0, 0] = -1e9
    graphs = build_graphs(read(model))
    plain = Graphs(graphs, tmp_path)
    ids, mask = texts()
    plain.encode(ids, mask)
    inputs = plain.given(np.arange(3, 10)[None], 0, 0)
    graph = first_scheme(graphs["decoder_model_merged"], precision)
    if precision.endswith("16"):
        inputs = {key: value.astype(np.float16) if is_past(key) else value for key, value in inputs.items()}
    ran = session(graph, tmp_path / "variant.onnx")
    logits, found = ran.run(["logits", "log_normalizer"], {**inputs, "with_log_normalizer": np.array(True)})
    assert found.shape == (1, 7, 1)
    np.testing.assert_allclose(found, scipy.special.logsumexp(logits.astype(np.float64), -1, keepdims=True), rtol=2e-6)
    other = ran.run(["logits", "log_normalizer"], {**inputs, "with_log_normalizer": np.array(False)})
    np.testing.assert_array_equal(other[0], logits)
    assert other[1].shape == found.shape


def test_context_limits() -> None:
    assert read(made("t5")).decoder.limit is None
    assert read(made("bart")).decoder.limit == 64
    assert read(made("m2m_100")).decoder.limit == 64


def test_half_precision_checkpoints_are_widened(tmp_path: Path) -> None:
    model = made("bart").to(torch.bfloat16)
    graph = build_graphs(read(model))["decoder_model_merged"]
    onnx_ir.save(graph, tmp_path / "model.onnx")
    assert {one.dtype for one in graph.graph.initializers.values()} <= {onnx_ir.DataType.FLOAT, onnx_ir.DataType.INT64}


@pytest.mark.parametrize(
    ("name", "changed", "reason"),
    [
        ("t5", {"d_kv": 12}, "12 wide"),
        ("t5", {"feed_forward_proj": "mish"}, "mish"),
        ("bart", {"activation_function": "laplace"}, "laplace"),
    ],
)
def test_what_no_kernel_does_is_refused(name: str, changed: dict[str, object], reason: str) -> None:
    model = made(name, **changed)
    with pytest.raises(NotBuildable, match=reason):
        read(model)


def test_what_no_reader_knows_is_refused() -> None:
    with pytest.raises(NotBuildable, match="no reader knows the architecture 'longt5'"):
        read(tiny(CONFIG_MAPPING["longt5"](**T5)))
    model = made("bart")
    model.model.decoder.extra = torch.nn.Linear(2, 2)
    with pytest.raises(NotBuildable, match=r"model\.decoder\.extra\.weight"):
        read(model)
