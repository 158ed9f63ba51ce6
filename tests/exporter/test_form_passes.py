"""Rewrites that a tuner tries, on graphs of a few nodes: the same answers from other nodes; what is left alone."""

from __future__ import annotations

import numpy as np
import onnx_ir
import pytest

from onnxpress_exporter.passes import apply_passes
from onnxpress_exporter.passes.constant_ranges import constant_ranges, row_ranges
from onnxpress_exporter.passes.fast_gelu import fast_gelu
from onnxpress_exporter.passes.grouped_queries import grouped_queries
from onnxpress_exporter.passes.grouped_when_long import LONG_TOKENS, grouped_when_long
from onnxpress_exporter.passes.integer_products import Range
from onnxpress_exporter.passes.joined_attention import joined_attention
from onnxpress_exporter.passes.maskless_attention import maskless_attention
from onnxpress_exporter.passes.plain_attention import plain_attention
from onnxpress_exporter.passes.quantize_dequantize import quantize_dequantize
from onnxpress_exporter.passes.row_extremes import row_extremes
from onnxpress_exporter.passes.signed_activations import signed_activations
from onnxpress_exporter.passes.simplify_mask import MASKED
from onnxpress_exporter.passes.unpack_blocks import unpack_blocks
from onnxpress_exporter.passes.weight_only import weight_only
from onnxpress_exporter.precisions.row import Blocks
from onnxpress_exporter.quantize.plan import block_weights
from onnxpress_exporter.tuning.formulations import FORMULATIONS
from tests.fixtures.graphs import graph, kinds, normal, run, run_all

WIDTH = 32
ATTENTION = """
model (float[b, s, 32] x, int32[b, s] mask, float[b, 2, s, s] extra) => (float[b, s, 32] y)
<float[b, s, 32] q, float[b, s, 32] k, float[b, s, 32] v>
{
    q = MatMul (x, wq)
    k = MatMul (x, wk)
    v = MatMul (x, wv)
    y = com.microsoft.MultiHeadAttention <num_heads = 2, mask_filter_value = -1e9> (q, k, v, BIASES, mask, extra)
}
"""
CONSTANTS = {**{f"w{name}": normal(WIDTH, WIDTH, seed=seed) for seed, name in enumerate("qkv")}, "biases": normal(96)}
PRODUCT = "model (float[b, s, 64] x) => (float[b, s, 24] y)\n{\n    y = MatMul (x, w)\n}"
INTEGERS = """
model (float[b, s, 32] x) => (float[b, s, 8] y)
<float[b, s, 32] sizes, float[b, s, 1] most, float[b, s, 1] largest, float[b, s, 32] even, uint8[b, s, 32] q,
 float[b, s, 8] product>
{
    sizes = Abs (x)
    most = ReduceMax (sizes, last)
    largest = Max (most, floor)
    even = Div (x, largest)
    q = QuantizeLinear (even, unit, zero)
    product = com.microsoft.MatMulIntegerToFloat (q, w, unit, scales, zero, none)
    y = Mul (product, largest)
}
"""
OF_INTEGERS = {
    "last": np.array([-1]),
    "floor": np.float32(1e-12),
    "unit": np.float32(1 / 127),
    "zero": np.uint8(128),
    "none": np.int8(0),
    "w": np.random.default_rng(0).integers(-60, 60, (WIDTH, 8)).astype(np.int8),
    "scales": np.abs(normal(8)),
}


def attention(biases: str = "biases") -> tuple[onnx_ir.Model, dict[str, np.ndarray]]:
    """A model, and rows of which one is padded."""
    mask = np.ones((3, 7), np.int32)
    mask[1, 4:] = 0
    model = graph(ATTENTION.replace("BIASES", biases), **CONSTANTS)
    return model, {"x": normal(3, 7, WIDTH), "mask": mask, "extra": normal(3, 2, 7, 7)}


@pytest.mark.parametrize("biases", ["biases", ""])
def test_attention_in_products_is_the_same(biases: str) -> None:
    model, inputs = attention(biases)
    expected = run(model, **inputs)
    assert plain_attention(model) == 1
    assert "MultiHeadAttention" not in kinds(model) and kinds(model).count("MatMul") == 5
    assert run(model, **inputs) == pytest.approx(expected, abs=1e-5)


def test_attention_without_a_mask_where_nothing_is_padded() -> None:
    model, inputs = attention()
    padded, whole = run(model, **inputs), run(model, **{**inputs, "mask": np.ones((3, 7), np.int32)})
    assert maskless_attention(model) == 1
    assert np.array_equal(run(model, **inputs), padded)
    assert run(model, **{**inputs, "mask": np.ones((3, 7), np.int32)}) == pytest.approx(whole, abs=1e-5)
    assert MASKED == -1e9


def test_attention_with_one_product_is_bit_for_bit_the_same() -> None:
    text = ATTENTION.replace(", float[b, 2, s, s] extra", "").replace("BIASES", "biases").replace(", extra)", ")")
    model, inputs = graph(text, **CONSTANTS), {name: value for name, value in attention()[1].items() if name != "extra"}
    expected = run(model, **inputs)
    assert joined_attention(model) == 1 and kinds(model) == ["Concat", "Attention"]
    assert set(model.graph.initializers) == set(CONSTANTS)
    assert np.array_equal(run(model, **inputs), expected)


INTEGER_ATTENTION = """
model (float[b, s, 32] x, int32[b, s] mask) => (float[b, s, 32] y)
<uint8[b, s, 32] q8, float[b, s, 32] q, float[b, s, 32] k, float[b, s, 32] v>
{
    q8 = QuantizeLinear (x, unit, zero)
    q = com.microsoft.MatMulIntegerToFloat (q8, wq, unit, sq, zero, none)
    k = com.microsoft.MatMulIntegerToFloat (q8, wk, unit, sk, zero, none)
    v = com.microsoft.MatMulIntegerToFloat (q8, wv, unit, sv, ZERO, none)
    y = com.microsoft.MultiHeadAttention <num_heads = 2, mask_filter_value = -1e9> (q, k, v, BIASES, mask)
}
"""
OF_INTEGER_ATTENTION = {
    **{name: OF_INTEGERS[name] for name in ("zero", "none")},
    "unit": np.float32(3 / 127),
    "other": np.uint8(127),
    "biases": normal(96),
    **{f"w{c}": np.random.default_rng(n).integers(-60, 60, (32, 32)).astype(np.int8) for n, c in enumerate("qkv")},
    **{f"s{c}": 0.01 * np.abs(normal(32, seed=n)) for n, c in enumerate("qkv")},
}


@pytest.mark.parametrize(("biases", "scale"), [("biases", ""), ("", ""), ("biases", ", scale = 0.25")])
def test_attention_of_integers_has_one_product_too(biases: str, scale: str) -> None:
    text = INTEGER_ATTENTION.replace("BIASES", biases).replace("ZERO", "zero")
    text = text.replace("num_heads = 2", f"num_heads = 2{scale}")
    model, inputs = graph(text, **OF_INTEGER_ATTENTION), attention()[1]
    inputs = {"x": inputs["x"], "mask": inputs["mask"]}
    expected = run(model, **inputs)
    assert joined_attention(model) == 1
    assert kinds(model) == ["QuantizeLinear", "Concat", "Concat", "QAttention"]
    assert np.array_equal(run(model, **inputs), expected)


def test_products_of_other_integers_are_not_joined() -> None:
    text = INTEGER_ATTENTION.replace("BIASES", "biases").replace("ZERO", "other")
    assert joined_attention(graph(text, **OF_INTEGER_ATTENTION)) == 0
    scaled = text.replace("num_heads = 2", "num_heads = 2, scale = 0.5").replace("other", "zero")
    assert joined_attention(graph(scaled, **OF_INTEGER_ATTENTION)) == 0


def test_attention_with_a_past_is_left_alone() -> None:
    text = """
    model (float[b, s, 32] q, float[b, s, 32] k, float[b, s, 32] v, float[b, 2, p, 16] pk, float[b, 2, p, 16] pv)
        => (float[b, s, 32] y)
    {
        y = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v, , , , pk, pv)
    }
    """
    model = graph(text)
    assert plain_attention(model) == maskless_attention(model) == joined_attention(model) == 0


#: Six queries' heads over two of keys, of 16 numbers each.
GROUPED = """
model (float[b, s, 96] q, KEYS float[b, 2, c, 16] pk, float[b, 2, c, 16] pv, int32[b] lengths, int32 total)
    => (float[b, s, 96] y, float[b, 2, c, 16] ok, float[b, 2, c, 16] ov)
{
    y, ok, ov = com.microsoft.GroupQueryAttention <num_heads = 6, kv_num_heads = 2, softcap = 20.0, ROTARY> (INPUTS)
}
"""
PACKED = GROUPED.replace("float[b, s, 96] q, KEYS", "float[b, s, 160] q,").replace(
    "INPUTS", "q, , , pk, pv, lengths, total, cos, sin"
)
APART = GROUPED.replace("KEYS", "float[b, s, 32] k, float[b, s, 32] v,").replace(
    "INPUTS", "q, k, v, pk, pv, lengths, total"
)


def grouped(text: str) -> onnx_ir.Model:
    rotation = np.outer(np.arange(LONG_TOKENS + 1), 0.5 ** np.arange(8)).astype(np.float32)
    rotary = "do_rotary = 1" if text is PACKED else "do_rotary = 0"
    constants = {"cos": np.cos(rotation), "sin": np.sin(rotation)} if text is PACKED else {}
    return graph(text.replace("ROTARY", rotary), **constants)


@pytest.mark.parametrize("text", [PACKED, APART], ids=["packed", "apart"])
def test_queries_that_share_keys_are_asked_together(text: str) -> None:
    usual, other = grouped(text), grouped(text)
    assert grouped_queries(other) == 1 and "If" in kinds(other)
    # A row alone is grouped from 32 tokens on; the kernel refuses fewer tokens than there are queries in a group.
    for first, rows, tokens in ((0, 1, 1), (1, 1, 1), (30, 1, 1), (31, 1, 1), (45, 1, 1), (40, 1, 5), (40, 3, 1)):
        past = np.array([first, 11, 7], np.int32)[:rows]
        lengths = past + tokens - 1
        widths = {"q": 160} if text is PACKED else {"q": 96, "k": 32, "v": 32}
        inputs = {name: normal(rows, tokens, width, seed=width) for name, width in widths.items()}
        inputs |= {name: normal(rows, 2, 48, 16, seed=seed) for seed, name in enumerate(("pk", "pv"))}
        inputs |= {"lengths": lengths, "total": np.array(lengths.max() + 1, np.int32)}
        expected, obtained = (run_all(model, **inputs) for model in (usual, other))
        for name in ("ok", "ov"):
            for row, length in enumerate(lengths):
                assert np.array_equal(obtained[name][row, :, : length + 1], expected[name][row, :, : length + 1]), name
        assert obtained["y"] == pytest.approx(expected["y"], abs=2e-6)


def test_what_is_kept_of_them_groups_in_long_rows_only() -> None:
    usual, other = grouped(PACKED), grouped(PACKED)
    assert grouped_when_long(other) == 0
    assert apply_passes(other, ("grouped_queries", "grouped_when_long")) == {
        "grouped_queries": 1,
        "grouped_when_long": 1,
    }
    for total, alike in ((40, True), (LONG_TOKENS - 1, True), (LONG_TOKENS, False)):
        inputs = {
            "q": normal(1, 1, 160),
            "lengths": np.array([total - 1], np.int32),
            "total": np.array(total, np.int32),
        }
        inputs |= {name: normal(1, 2, LONG_TOKENS, 16, seed=seed) for seed, name in enumerate(("pk", "pv"))}
        expected, obtained = (run_all(model, **inputs)["y"] for model in (usual, other))
        # Sums in another order differ in the last digits.
        assert np.array_equal(obtained, expected) is alike
        assert obtained == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("change", ["kv_num_heads = 6", "kv_num_heads = 2, local_window_size = 8"])
def test_attention_that_shares_no_keys_or_has_a_window_is_left_alone(change: str) -> None:
    heads = 6 if change.endswith("6") else 2
    text = APART.replace("kv_num_heads = 2", change).replace("float[b, 2,", f"float[b, {heads},")
    assert grouped_queries(grouped(text)) == 0


@pytest.mark.parametrize("symmetric", [False, True])
def test_blocks_become_a_product_of_the_same_weights(symmetric: bool) -> None:
    weights = normal(64, 24)
    rounded = block_weights(weights, None, Blocks(8, 32, symmetric=symmetric))
    model = graph(PRODUCT, w=weights)
    weight_only(model, {"y": rounded})
    x = normal(2, 5, 64)
    in_blocks = run(model, x=x)
    assert unpack_blocks(model) == 1
    assert kinds(model).count("MatMul") == 1 and "MatMulNBits" not in kinds(model)
    unpacked = run(model, x=x)
    exact = ((rounded.integers.reshape(2, 32, 24) - rounded.zeros[:, None]) * rounded.scales[:, None]).reshape(64, 24)
    assert unpacked == pytest.approx(x @ exact.astype(np.float32), abs=1e-4)
    # In blocks, activations are rounded to 8 bits.
    assert unpacked == pytest.approx(in_blocks, abs=0.2)


def test_blocks_of_four_bits_are_left_alone() -> None:
    model = graph(PRODUCT, w=normal(64, 24))
    weight_only(model, {"y": block_weights(normal(64, 24), None, Blocks(4))})
    assert unpack_blocks(model) == 0


def test_a_range_from_both_ends_and_signed_activations_are_bit_for_bit_the_same() -> None:
    model, x = graph(INTEGERS, **OF_INTEGERS), normal(2, 5, WIDTH)
    expected = run(model, x=x)
    assert row_extremes(model) == 1 and "Abs" not in kinds(model)
    assert np.array_equal(run(model, x=x), expected)
    assert signed_activations(model) == 1
    assert np.array_equal(run(model, x=x), expected)


def test_activations_that_something_else_reads_stay_as_they_are() -> None:
    text = INTEGERS.replace("=> (float[b, s, 8] y)", "=> (float[b, s, 8] y, uint8[b, s, 32] q)").replace(
        "uint8[b, s, 32] q,\n", ""
    )
    assert signed_activations(graph(text, **OF_INTEGERS)) == 0


def test_gelu_is_approximated_with_its_bias() -> None:
    text = """
    model (float[b, s, 8] x) => (float[b, s, 8] y)
    <float[b, s, 8] sum>
    {
        sum = Add (x, bias)
        y = Gelu (sum)
    }
    """
    model, x = graph(text, bias=normal(8)), normal(2, 5, 8)
    expected = run(model, x=x)
    assert fast_gelu(model) == 1 and kinds(model) == ["FastGelu"]
    assert run(model, x=x) == pytest.approx(expected, abs=2e-3)
    assert fast_gelu(model) == 0


def test_a_constant_range_leaves_the_weights_and_no_look_at_the_row() -> None:
    model, x = graph(INTEGERS, **OF_INTEGERS), np.clip(normal(2, 5, WIDTH), -3, 3)
    expected = run(model, x=x)
    (row,) = row_ranges(model)
    assert (row.value.name, row.width, row.importance.shape) == ("x", WIDTH, (WIDTH,))
    assert constant_ranges(model, {"other": Range(128, 3 / 127, each_row=False)}) == 0
    assert constant_ranges(model, {"x": Range(128, 3 / 127, each_row=False)}) == 1
    assert kinds(model) == ["QuantizeLinear", "MatMulIntegerToFloat"] and not row_ranges(model)
    assert run(model, x=x) == pytest.approx(expected, abs=0.05 * float(np.ptp(expected)))


@pytest.mark.parametrize("constant", [False, True])
def test_integer_products_as_other_engines_read_them(constant: bool) -> None:
    model, x = graph(INTEGERS, **OF_INTEGERS), np.clip(normal(2, 5, WIDTH), -3, 3)
    if constant:
        constant_ranges(model, {"x": Range(128, 3 / 127, each_row=False)})
    expected = run(model, x=x)
    assert quantize_dequantize(model) == 1
    quantized = ["QuantizeLinear", "DequantizeLinear"] if constant else []
    assert sorted(kinds(model)) == sorted([*quantized, "DequantizeLinear", "MatMul"])
    assert run(model, x=x) == pytest.approx(expected, abs=0.05 * float(np.ptp(expected)))


def test_every_formulation_names_passes_that_are_there() -> None:
    names = [row.name for row in FORMULATIONS]
    assert len(set(names)) == len(names) and not any("+" in name for name in names)
    for row in FORMULATIONS:
        empty = graph("model (float[b] x) => (float[b] y)\n{\n    y = Neg (x)\n}")
        assert row.passes or row.constants
        assert not any(apply_passes(empty, row.passes).values())
