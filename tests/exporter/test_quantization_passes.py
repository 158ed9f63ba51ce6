"""Passes that quantize, on graphs of a few nodes: what they compute and leave, and that rows stay independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress_exporter.passes.balance import balance, balance_attention
from onnxpress_exporter.passes.gemm_as_matmul import gemm_as_matmul
from onnxpress_exporter.passes.half_precision import half_precision
from onnxpress_exporter.passes.integer_products import IntegerSite, IntegerWeights, Range, integer_products
from onnxpress_exporter.passes.small_embeddings import small_embeddings
from onnxpress_exporter.passes.weight_only import pack, weight_only
from onnxpress_exporter.precisions.row import Blocks
from onnxpress_exporter.quantize.plan import block_weights
from onnxpress_exporter.quantize.ranges import choose_range
from onnxpress_exporter.quantize.rounding import INT8, round_weights
from tests.fixtures.graphs import graph, kinds, normal, run

WIDTH, OUTPUTS = 64, 48


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


PRODUCT = """
model (float[batch, tokens, 64] x) => (float[batch, tokens, 48] y)
<float[batch, tokens, 48] product>
{
    product = MatMul (x, w)
    y = Add (product, b)
}
"""
W, B = normal(WIDTH, OUTPUTS, seed=1), normal(OUTPUTS, seed=2)


def product() -> onnx_ir.Model:
    return graph(PRODUCT, w=W, b=B)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_gemm_becomes_a_product_and_a_sum(transposed: bool) -> None:
    text = f"""
    model (float[batch, 64] x) => (float[batch, 48] y)
    {{
        y = Gemm <transB = {int(transposed)}, alpha = 2.0, beta = 0.5> (x, w, b)
    }}
    """
    model = graph(text, w=W.T.copy() if transposed else W, b=B)
    x = normal(3, WIDTH, seed=3)
    before = run(model, x=x)
    assert gemm_as_matmul(model) == 1
    assert "Gemm" not in kinds(model) and "MatMul" in kinds(model)
    np.testing.assert_allclose(run(model, x=x), before, rtol=1e-4, atol=1e-4)


def test_balancing_changes_nothing_but_the_channels() -> None:
    model, x = product(), normal(2, 5, WIDTH, seed=3)
    before = run(model, x=x)
    divisor = np.exp(normal(WIDTH, seed=4))
    assert balance(model, {"x": (["product"], divisor)}) == 1
    np.testing.assert_allclose(run(model, x=x), before, rtol=1e-3, atol=1e-4)


ATTENTION = """
model (float[batch, tokens, 64] x) => (float[batch, tokens, 48] y)
<float[batch, tokens, 64] q, float[batch, tokens, 64] k, float[batch, tokens, 64] v, float[batch, tokens, 64] mixed>
{
    q = MatMul (x, wq)
    k = MatMul (x, wk)
    v = MatMul (x, wv)
    mixed = com.microsoft.MultiHeadAttention <num_heads = 4> (q, k, v, joined)
    y = MatMul (mixed, w)
}
"""


def test_the_result_of_attention_is_balanced_in_the_value_projection() -> None:
    square = {name: normal(WIDTH, WIDTH, seed=seed) / 8 for seed, name in enumerate(("wq", "wk", "wv"), 5)}
    model = graph(ATTENTION, **square, w=W, joined=normal(3 * WIDTH, seed=9))
    x = normal(2, 5, WIDTH, seed=3)
    before, nodes = run(model, x=x), kinds(model)
    assert balance_attention(model, "mixed", ["y"], np.exp(normal(WIDTH, seed=4)))
    assert kinds(model) == nodes
    np.testing.assert_allclose(run(model, x=x), before, rtol=1e-3, atol=1e-3)


def test_an_attention_whose_values_are_read_elsewhere_is_not_balanced() -> None:
    text = ATTENTION.replace("y = MatMul (mixed, w)", "read = MatMul (mixed, w)\n y = Add (read, extra)\n")
    text = text.replace("mixed = com", "extra = MatMul (v, w)\n mixed = com")
    square = {name: normal(WIDTH, WIDTH, seed=seed) for seed, name in enumerate(("wq", "wk", "wv"), 5)}
    model = graph(text, **square, w=W, joined=normal(3 * WIDTH, seed=9))
    assert not balance_attention(model, "mixed", ["read"], np.ones(WIDTH, np.float32))


def integer_site(x: np.ndarray, *, each_row: bool = True) -> IntegerSite:
    rounded = round_weights(W, INT8)
    weights = IntegerWeights(rounded.integers.astype(np.int8), rounded.scales[0])
    how = choose_range(x.reshape(-1, WIDTH), np.square(W).sum(axis=1), each_row=each_row)
    return IntegerSite({"product": weights}, how)


def test_integer_products_are_near_the_real_ones() -> None:
    model, x = product(), normal(3, 7, WIDTH, seed=3)
    before = run(model, x=x)
    assert integer_products(model, [integer_site(x)]) == 1
    assert "MatMulIntegerToFloat" in kinds(model) and "MatMul" not in kinds(model)
    assert relative(run(model, x=x), before) < 0.03


def test_values_after_gelu_use_the_range_above_zero() -> None:
    model = product()
    x = np.maximum(normal(3, 7, WIDTH, seed=3), -0.17)
    before = run(model, x=x)
    integer_products(model, [integer_site(x)])
    assert "ReduceMax" in kinds(model) and "Abs" not in kinds(model)
    assert relative(run(model, x=x), before) < 0.02


def test_one_range_for_all_rows_costs_one_operator() -> None:
    model, x = product(), normal(3, 7, WIDTH, seed=3)
    before = run(model, x=x)
    operators = kinds(model)
    integer_products(model, [integer_site(x, each_row=False)])
    assert sorted(kinds(model)) == sorted([*(set(operators) - {"MatMul"}), "MatMulIntegerToFloat", "QuantizeLinear"])
    assert relative(run(model, x=x), before) < 0.03


def test_a_row_beyond_the_one_range_is_cut_and_leaves_the_others_alone() -> None:
    model, x = product(), normal(1, 7, WIDTH, seed=3)
    integer_products(model, [integer_site(x, each_row=False)])
    before, far = run(model, x=x), x.copy()
    far[:, 3] *= 1000
    after = run(model, x=far)
    assert np.isfinite(after).all()
    np.testing.assert_array_equal(np.delete(after, 3, axis=1), np.delete(before, 3, axis=1))


def test_sums_do_not_overflow_where_a_processor_adds_in_16_bits() -> None:
    """All weights as large as they may be, all activations at the end of their range."""
    weights = np.where(np.random.default_rng(0).random((WIDTH, OUTPUTS)) < 0.9, 1, -1).astype(np.float32)
    model, x = graph(PRODUCT, w=weights, b=B), np.full((1, 9, WIDTH), 3, np.float32)
    before = run(model, x=x)
    rounded = round_weights(weights, INT8)
    integers = IntegerWeights(rounded.integers.astype(np.int8), rounded.scales[0])
    integer_products(model, [IntegerSite({"product": integers}, Range(128, 1 / 127))])
    np.testing.assert_allclose(run(model, x=x), before - B + x[0, 0] @ (rounded.weights() - weights) + B, rtol=1e-5)


rows = st.lists(st.integers(0, 2**31), min_size=1, max_size=6)


@given(rows, st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_a_row_s_product_does_not_depend_on_its_neighbours(seeds: Sequence[int], padding: int) -> None:
    model = product()
    integer_products(model, [integer_site(normal(8, 8, WIDTH))])
    x = np.concatenate([normal(1, 1, WIDTH, seed=seed) * (1 + seed % 50) for seed in seeds], axis=1)
    padded = np.concatenate([x, 1000 * np.ones((1, padding, WIDTH), np.float32)], axis=1)
    together = run(model, x=padded)
    alone = np.concatenate([run(model, x=x[:, i : i + 1]) for i in range(len(seeds))], axis=1)
    np.testing.assert_array_equal(together[:, : len(seeds)], alone)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_weights_in_blocks(bits: int, symmetric: bool) -> None:
    model, x = product(), normal(3, 7, WIDTH, seed=3)
    before = run(model, x=x)
    weights = block_weights(W, None, Blocks(bits, 32, symmetric))
    assert weights.symmetric is symmetric
    assert weight_only(model, {"product": weights}) == 1
    assert relative(run(model, x=x), before) < (0.15 if bits == 4 else 0.02)


def test_a_last_block_that_is_not_full() -> None:
    weights = W[:50]
    text = PRODUCT.replace("64] x", "50] x")
    model, x = graph(text, w=weights, b=B), normal(3, 7, 50, seed=3)
    before = run(model, x=x)
    weight_only(model, {"product": block_weights(weights, None, Blocks(8, 32))})
    assert relative(run(model, x=x), before) < 0.02


@given(st.lists(st.integers(0, 15), min_size=1, max_size=33))
def test_four_bits_are_packed_lowest_first(values: list[int]) -> None:
    packed = pack(np.array(values, np.uint8), 4)
    unpacked = [nibble for byte in packed.tolist() for nibble in (byte & 15, byte >> 4)]
    assert unpacked[: len(values)] == values and set(unpacked[len(values) :]) <= {0}


EMBEDDING = """
model (int64[batch, tokens] ids) => (float[batch, tokens, 128] y)
{
    y = Gather (table, ids)
}
"""


@pytest.mark.parametrize(("bits", "block"), [(8, 64), (4, 32)])
def test_embeddings_of_few_bits(bits: int, block: int) -> None:
    table = normal(8192, 128)
    model = graph(EMBEDDING, table=table)
    treatment = Blocks(bits, block)
    assert small_embeddings(model, lambda rows, size: block_weights(rows, None, treatment), block) == 1
    assert kinds(model) == ["GatherBlockQuantized"]
    ids = np.array([[0, 17, 8191], [5, 5, 4]])
    assert relative(run(model, ids=ids), table[ids]) < (0.12 if bits == 4 else 0.01)


def test_small_tables_stay() -> None:
    model = graph(EMBEDDING, table=normal(512, 128))
    treatment = Blocks(8, 64)
    assert small_embeddings(model, lambda rows, size: block_weights(rows, None, treatment), 64) == 0


def test_half_precision_keeps_the_interface() -> None:
    model, x = product(), normal(3, 7, WIDTH, seed=3)
    before = run(model, x=x)
    text = PRODUCT.replace("float[batch, tokens, 64] x", "int64[batch, tokens, 64] x").replace(
        "product = MatMul (x, w)", "real = Cast <to = 1> (x)\n product = MatMul (real, w)"
    )
    model = graph(text, w=W, b=B)
    whole = np.rint(x * 3).astype(np.int64)
    before = run(model, x=whole)
    assert half_precision(model) == 2
    after = run(model, x=whole)
    assert after.dtype == np.float32
    assert relative(after, before) < 5e-3


def test_numbers_beyond_half_precision_are_cut() -> None:
    model = graph(
        "model (int64[n] x) => (float[n] y)\n<float[n] r> {\n r = Cast <to = 1> (x)\n y = Add (r, low)\n}",
        low=np.array([-1e9], np.float32),
    )
    half_precision(model)
    assert np.isfinite(run(model, x=np.zeros(3, np.int64))).all()


@pytest.mark.parametrize("reduction", ["none", "add"])
def test_what_meets_in_one_place_is_added_up_in_fp32(reduction: str) -> None:
    """ONNX Runtime's processor kernel adds up no fp16: the tokens of experts, for one."""
    text = f"""model (int64[n] x) => (float[4] y) <float[n] r, float[4] z> {{
        r = Cast <to = 1> (x)
        y = ScatterElements <axis = 0, reduction = "{reduction}"> (zeros, places, r)
    }}"""
    model = graph(text, zeros=np.zeros(4, np.float32), places=np.array([0, 2, 2]))
    half_precision(model)
    third = 3 if reduction == "none" else 5
    np.testing.assert_array_equal(run(model, x=np.array([1, 2, 3])), [1, 0, third, 0])
