"""Passes that make channels even before they become integers: what they compute, what they leave alone."""

from __future__ import annotations

import numpy as np
import onnx_ir
import pytest

from onnxpress_exporter.passes.centre import centre, normalization
from onnxpress_exporter.passes.graph import constant
from onnxpress_exporter.passes.integer_products import IntegerSite, IntegerWeights, integer_products
from onnxpress_exporter.passes.split_channels import between, name_of_rest, rest_of, split_channels
from onnxpress_exporter.precisions.int8 import INT8 as INT8_ROW
from onnxpress_exporter.precisions.row import Blocks, Integers
from onnxpress_exporter.quantize.plan import integer_weights
from onnxpress_exporter.quantize.ranges import channels_apart, choose_range, error_of_both
from onnxpress_exporter.quantize.rounding import UINT8, round_weights
from onnxpress_exporter.quantize.storage import Storage
from tests.fixtures.graphs import graph, kinds, normal, run

WIDTH, INNER = 64, 256

LAYER = """
model (float[batch, tokens, 64] x) => (float[batch, tokens, 64] y)
<float[batch, tokens, 64] n, float[batch, tokens, 64] q, float[batch, tokens, 64] k, float[batch, tokens, 64] v,
 float[batch, tokens, 64] mixed, float[batch, tokens, 64] o, float[batch, tokens, 64] s, float[batch, tokens, 64] m,
 float[batch, tokens, 256] up, float[batch, tokens, 256] biased, float[batch, tokens, 256] inner,
 float[batch, tokens, 64] down>
{
    n = LayerNormalization <axis = -1> (x, weight, bias)
    q = MatMul (n, wq)
    k = MatMul (n, wk)
    v = MatMul (n, wv)
    mixed = com.microsoft.MultiHeadAttention <num_heads = 4> (q, k, v, joined)
    o = MatMul (mixed, wo)
    s = Sum (o, bo, n)
    m = LayerNormalization <axis = -1> (s, weight, bias)
    up = MatMul (m, wu)
    biased = Add (up, bu)
    inner = Gelu (biased)
    down = MatMul (inner, wd)
    y = Sum (down, bd, m)
}
"""
#: One channel of what GELU returns is many times larger than the others, and channels of the normalizations' lie
#: beside 0, as those of trained models do.
SPREAD = np.where(np.arange(INNER) == 37, 200, 1).astype(np.float32)
BESIDE = np.where(np.arange(WIDTH) % 9 == 0, 6, 0.2).astype(np.float32)


def layer(text: str = LAYER) -> onnx_ir.Model:
    square = {name: normal(WIDTH, WIDTH, seed=seed) / 8 for seed, name in enumerate(("wq", "wk", "wv", "wo"), 5)}
    return graph(
        text,
        **square,
        weight=np.abs(normal(WIDTH, seed=9)) + 0.5,
        bias=BESIDE,
        joined=normal(3 * WIDTH, seed=10),
        bo=normal(WIDTH, seed=11),
        wu=normal(WIDTH, INNER, seed=12) / 8 * SPREAD,
        bu=normal(INNER, seed=13) * SPREAD,
        wd=normal(INNER, WIDTH, seed=14) / 16,
        bd=normal(WIDTH, seed=15),
    )


X = normal(3, 7, WIDTH, seed=3)


def test_channels_around_zero_give_the_same_products_in_the_same_nodes() -> None:
    model = layer()
    before, nodes = run(model, x=X), kinds(model)
    shift = normal(WIDTH, seed=20) * 5
    for name in ("n", "m"):
        centre(model, name, shift)
    assert kinds(model) == nodes  # what is added joins the constants that are there
    moved = next(node for node in model.graph if node.outputs[0].name == "m")
    np.testing.assert_allclose(constant(moved.inputs[2]), BESIDE - shift, rtol=1e-6)
    np.testing.assert_allclose(run(model, x=X), before, rtol=1e-3, atol=2e-4)


def test_a_product_without_a_constant_beside_it_gets_one() -> None:
    model = layer(LAYER.replace("biased = Add (up, bu)", "biased = Mul (up, bu)"))
    before = run(model, x=X)
    centre(model, "m", np.full(WIDTH, 3, np.float32))
    assert kinds(model).count("Add") == 1
    np.testing.assert_allclose(run(model, x=X), before, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize(
    "text",
    [
        LAYER.replace("y = Sum (down, bd, m)", "t = Relu (m)\n y = Sum (down, bd, t)"),  # another node reads it
        LAYER.replace("=> (float[batch, tokens, 64] y)", "=> (float[batch, tokens, 64] y, float[batch, tokens, 64] m)"),
        LAYER.replace("m = LayerNormalization <axis = -1> (s, weight, bias)", "m = Relu (s)"),
    ],
    ids=["read elsewhere", "an output", "no normalization"],
)
def test_a_value_that_others_read_stays_where_it_is(text: str) -> None:
    text = text.replace(" float[batch, tokens, 64] m,", "") if "y, float" in text else text
    model = layer(text)
    assert normalization(model, "m") is None and normalization(model, "n") is not None
    with pytest.raises(ValueError, match="cannot be moved"):
        centre(model, "m", BESIDE)


PROJECTED = """
model (float[batch, tokens, 64] x) => (float[batch, tokens, 64] y)
<float[batch, tokens, 64] n>
{
    n = LayerNormalization <axis = -1> (x, weight, bias)
    y = MatMul (n, wq)
}
"""


def test_a_product_that_the_graph_returns_stays_it() -> None:
    weights = {
        "weight": np.abs(normal(WIDTH, seed=9)) + 0.5,
        "bias": 4 * BESIDE,
        "wq": normal(WIDTH, WIDTH, seed=5) / 8,
    }
    model = graph(PROJECTED, **weights)
    assert normalization(model, "n") is None
    store = Storage(model)
    store.watch([{"x": normal(1, 40, WIDTH, seed=seed)} for seed in range(8)])
    quantized = store.with_plan({"n": Integers()})
    assert kinds(quantized).count("MatMulIntegerToFloat") == 1
    expected = run(model, x=X)
    assert np.linalg.norm(run(quantized, x=X) - expected) / np.linalg.norm(expected) < 0.02


def test_channels_apart_are_products_of_their_own_and_nothing_is_copied() -> None:
    model = layer()
    before = run(model, x=X)
    apart = np.array([3, 37, 200], np.int64)
    split_channels(model, "inner", apart)
    assert not {"Gather", "Slice", "Split", "Concat"} & set(kinds(model))
    assert kinds(model).count("Gelu") == 2 and kinds(model).count("MatMul") == 8
    total = next(node for node in model.graph if node.op_type == "Sum" and len(node.inputs) == 4)
    assert total.outputs[0].is_graph_output()  # the two products are terms of the sum that was there
    np.testing.assert_allclose(run(model, x=X), before, rtol=1e-4, atol=2e-4)


def test_what_is_left_is_named_and_in_order() -> None:
    assert name_of_rest("inner") == "inner_rest"
    assert rest_of(6, np.array([1, 4])).tolist() == [0, 2, 3, 5]


@pytest.mark.parametrize(
    "text",
    [
        LAYER.replace("inner = Gelu (biased)", "inner = Softmax (biased)"),  # channels are not treated each for itself
        LAYER.replace("y = Sum (down, bd, m)", "t = ReduceMean (inner)\n y = Sum (down, bd, t)"),
        LAYER.replace("biased = Add (up, bu)", "biased = Add (up, up)"),
    ],
    ids=["softmax", "read elsewhere", "two values"],
)
def test_channels_that_depend_on_each_other_are_not_split(text: str) -> None:
    model = layer(text)
    assert between(model, "inner") is None
    with pytest.raises(ValueError, match="cannot be split"):
        split_channels(model, "inner", np.array([37]))


def test_only_channels_that_stand_out_are_kept_apart() -> None:
    rows, importance = normal(300, 512, seed=1), np.ones(512, np.float32)
    assert channels_apart(rows, importance) is None
    rows[:, 77] *= 30
    apart = channels_apart(rows, importance)
    assert apart is not None and len(apart) == 16 and 77 in apart
    assert channels_apart(rows[:, 60:100], importance[:40]) is None  # 16 of 40 would be too many


def test_a_plan_of_integers_keeps_the_large_channels_apart_and_moves_the_rest() -> None:
    store = Storage(layer())
    store.watch([{"x": normal(1, 40, WIDTH, seed=seed)} for seed in range(20)])
    assert set(store.apart.values()) == {16} and list(store.apart) == ["down"]
    expected = run(store.fp32, x=X)
    plan = {site.value: Integers() for site in store.sites}
    model = store.with_plan(plan)
    # What is apart stays in fp32: one product before GELU, and one after it.
    assert kinds(model).count("MatMul") == 2 and kinds(model).count("MatMulIntegerToFloat") == 6
    error = np.linalg.norm(run(model, x=X) - expected) / np.linalg.norm(expected)
    assert error < 0.01
    # Rows depend on nothing but themselves.
    alone = np.concatenate([run(model, x=X[row : row + 1, :4]) for row in range(3)])
    np.testing.assert_allclose(run(model, x=X[:, :4]), alone, rtol=1e-5, atol=1e-5)
    # Beside the same site as a whole.
    split = store.with_plan({"inner": Integers()})
    store._apart.clear()
    store._balances.clear()
    store._integer_weights.clear()
    whole = store.with_plan({"inner": Integers()})
    left, all_of_it = (float(np.linalg.norm(run(model, x=X) - expected)) for model in (split, whole))
    assert left < 0.6 * all_of_it


def test_the_product_before_may_be_stored_in_blocks() -> None:
    store = Storage(layer())
    store.watch([{"x": normal(1, 40, WIDTH, seed=seed)} for seed in range(8)])
    model = store.with_plan({"inner": Integers(), "m": Blocks(8)})
    assert kinds(model).count("MatMulNBits") == 1 and kinds(model).count("MatMulIntegerToFloat") == 1
    expected = run(store.fp32, x=X)
    assert np.linalg.norm(run(model, x=X) - expected) / np.linalg.norm(expected) < 0.02


def test_channels_beside_zero_bear_one_range_once_they_are_moved() -> None:
    rows = normal(400, WIDTH, seed=1) * 0.5 + BESIDE * 4
    weights = normal(WIDTH, 48, seed=2)
    middle = (rows.min(axis=0) + rows.max(axis=0)) / 2
    assert error_of_both(rows - middle, weights) < 0.1 * error_of_both(rows, weights)


def test_nothing_that_was_seen_is_cut_from_one_range_for_all_rows() -> None:
    rows = normal(400, WIDTH, seed=1)
    rows[7] *= 9
    how = choose_range(rows, np.ones(WIDTH, np.float32), each_row=False)
    assert how.unit * 127 >= np.abs(rows).max() * 0.999


def test_statistics_follow_the_channels_that_are_moved_and_left() -> None:
    store = Storage(layer())
    store.watch([{"x": normal(1, 40, WIDTH, seed=seed)} for seed in range(4)])
    known = store._statistics["inner"]
    shift, places = normal(INNER, seed=4), np.arange(5, 60)
    moved, few = known.less(shift), known.of(places)
    np.testing.assert_allclose(moved.rows, known.rows - shift)
    np.testing.assert_allclose(moved.mean, known.mean - shift, rtol=1e-5, atol=1e-5)
    # All rows are in the sample of so short texts, so that their own correlations are the sum's.
    expected = (known.rows - shift).T @ (known.rows - shift) / len(known.rows)
    if len(known.rows) == known.count:
        np.testing.assert_allclose(moved.hessian, expected, rtol=1e-2, atol=1e-1)
    np.testing.assert_array_equal(few.hessian, known.hessian[5:60, 5:60])
    np.testing.assert_array_equal(few.rows, known.rows[:, 5:60])


def test_weights_without_a_sign_are_more_exact_and_come_before_blocks() -> None:
    assert INT8_ROW.ladder[1:] == (Integers(), Integers(unsigned=True), Blocks(8))
    store = Storage(layer())
    store.watch([{"x": normal(1, 40, WIDTH, seed=seed)} for seed in range(8)])
    expected = run(store.fp32, x=X)
    errors = {}
    for unsigned in (False, True):
        model = store.with_plan({"m": Integers(unsigned=unsigned)})
        errors[unsigned] = np.linalg.norm(run(model, x=X) - expected)
    assert errors[True] < errors[False]
    weights = integer_weights(store._balance(store._products["m"]), unsigned=True)["up"]
    assert weights.zeros is not None and weights.integers.dtype == np.uint8 == weights.zeros.dtype


def test_an_integer_product_takes_a_zero_for_each_output() -> None:
    text = "model (float[batch, 64] x) => (float[batch, 48] y)\n{\n y = MatMul (x, w)\n}\n"
    w = normal(WIDTH, 48, seed=1) + 0.5
    model, x = graph(text, w=w), normal(5, WIDTH, seed=2)
    before = run(model, x=x)
    rounded = round_weights(w, UINT8)
    held = IntegerWeights(rounded.integers.astype(np.uint8), rounded.scales[0], rounded.zeros[0].astype(np.uint8))
    integer_products(model, [IntegerSite({"y": held}, choose_range(x, np.square(w).sum(axis=1)))])
    assert np.linalg.norm(run(model, x=x) - before) / np.linalg.norm(before) < 0.02
    some = held.columns(np.array([1, 5]))
    assert (
        some.zeros is not None and some.integers.shape == (WIDTH, 2) and some.zeros.shape == some.scales.shape == (2,)
    )
