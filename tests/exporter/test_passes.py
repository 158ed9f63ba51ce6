"""Passes on graphs of a few nodes: what they rewrite, what they leave alone, and that answers stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
import torch

from onnxpress_exporter.passes.bfloat16_arithmetic import bfloat16_arithmetic
from onnxpress_exporter.passes.first_token_only import first_token_only
from onnxpress_exporter.passes.fuse_attention import fuse_attention
from onnxpress_exporter.passes.graph import add_constant, constant, remove_dead
from onnxpress_exporter.passes.keep_zero_padding import keep_zero_padding
from onnxpress_exporter.passes.residual_sum import residual_sum
from onnxpress_exporter.passes.simplify_mask import MASKED, simplify_mask
from tests.fixtures.graphs import graph, kinds, normal, run

HEADS, SIZE = 2, 4
WIDTH = HEADS * SIZE
LOWEST = float(np.finfo(np.float32).min)


# Masks.

GATHERED = """
model (int64[batch, keys] mask, float[batch, 2, queries, keys] scores) => (float[batch, 2, queries, keys] y)
<bool[batch, keys] kept, int64[batch, 1, 1, 1] rows, int64[1, 1, 1, keys] columns, bool[batch, 1, 1, keys] picked,
 bool[1, 1, queries, 1] all, bool[batch, 1, queries, keys] both, float[batch, 1, queries, keys] bias>
{
    kept = Cast <to = 9> (mask)
    b = Shape <start = 0, end = 1> (mask)
    b0 = Squeeze (b)
    k = Shape <start = 1, end = 2> (mask)
    k0 = Squeeze (k)
    q = Shape <start = 2, end = 3> (scores)
    q0 = Squeeze (q)
    range_b = Range (zero, b0, one)
    range_k = Range (zero, k0, one)
    range_q = Range (zero, q0, one)
    rows = Unsqueeze (range_b, axes_123)
    columns = Unsqueeze (range_k, axes_012)
    largest = Max (rows, columns)
    shape = Shape (largest)
    rows_all = Expand (rows, shape)
    rows_last = Unsqueeze (rows_all, last)
    columns_all = Expand (columns, shape)
    columns_last = Unsqueeze (columns_all, last)
    where = Concat <axis = -1> (rows_last, columns_last)
    picked = GatherND (kept, where)
    queries_4 = Unsqueeze (range_q, axes_013)
    all = GreaterOrEqual (queries_4, zero)
    both = And (all, picked)
    bias = Where (both, nothing, lowest)
    y = Add (scores, bias)
}
"""
GATHERED_CONSTANTS = {
    "zero": np.array(0),
    "one": np.array(1),
    "axes_123": np.array([1, 2, 3]),
    "axes_012": np.array([0, 1, 2]),
    "axes_013": np.array([0, 1, 3]),
    "last": np.array([-1]),
    "nothing": np.array(0, np.float32),
    "lowest": np.array(LOWEST, np.float32),
}


def test_a_gathered_mask_becomes_a_reshape() -> None:
    model = graph(GATHERED, **GATHERED_CONSTANTS)
    mask = np.array([[1, 1, 1], [1, 0, 0]])
    scores = normal(2, 2, 4, 3)
    before = run(model, mask=mask, scores=scores)
    assert simplify_mask(model) == 4
    assert kinds(model) == ["Cast", "Unsqueeze", "Where", "Add"]
    after = run(model, mask=mask, scores=scores)
    seen = np.broadcast_to(mask[:, None, None, :] == 1, before.shape)
    np.testing.assert_array_equal(after[seen], before[seen])
    assert (after[~seen] <= MASKED + 10).all()
    assert simplify_mask(model) == 0


def test_a_mask_gathered_at_other_places_is_left_alone() -> None:
    shifted = {**GATHERED_CONSTANTS, "zero": np.array(1)}
    model = graph(GATHERED, **shifted)
    simplify_mask(model)
    assert "GatherND" in kinds(model)


def test_a_mask_whose_shape_is_read_keeps_it() -> None:
    text = GATHERED.replace("float[batch, 2, queries, keys] y)", "int64[4] y)")
    text = text.replace("y = Add (scores, bias)", "y = Shape (bias)")
    model = graph(text, **GATHERED_CONSTANTS)
    mask, scores = np.ones((2, 3), np.int64), normal(2, 2, 4, 3)
    simplify_mask(model)
    assert run(model, mask=mask, scores=scores).tolist() == [2, 1, 4, 3]


UNMASKED = """
model (float[batch, 2, queries, keys] scores, int64[4] shape) => (float[batch, 2, queries, keys] y)
<bool[batch, 1, queries, keys] seen, float[batch, 1, queries, keys] bias>
{
    seen = Expand (true, shape)
    bias = Where (seen, nothing, lowest)
    y = Add (scores, bias)
}
"""
COMPUTED = """
model (float[batch, 2, queries, keys] scores, int64[4] shape) => (float[batch, 2, queries, keys] y)
<int64[1, 1, queries, 1] places, bool[1, 1, queries, 1] all, bool[batch, 1, queries, keys] seen,
 float[batch, 1, queries, keys] bias>
{
    q = Shape <start = 2, end = 3> (scores)
    q0 = Squeeze (q)
    range_q = Range (zero, q0, one)
    places = Unsqueeze (range_q, axes_013)
    all = GreaterOrEqual (places, zero)
    seen = Expand (all, shape)
    bias = Where (seen, nothing, lowest)
    y = Add (bias, scores)
}
"""


@pytest.mark.parametrize(
    ("text", "constants"),
    [
        (UNMASKED, {"true": np.ones((1, 1, 3, 1), bool)}),
        (COMPUTED, {"zero": np.array(0), "one": np.array(1), "axes_013": np.array([0, 1, 3])}),
    ],
)
def test_a_mask_that_hides_nothing_is_not_added(text: str, constants: dict[str, Any]) -> None:
    numbers = {name: GATHERED_CONSTANTS[name] for name in ("nothing", "lowest")}
    model = graph(text, **numbers, **constants)
    assert simplify_mask(model)
    assert not any(node.op_type in ("Add", "Where", "Expand") for node in model.graph)


@pytest.mark.parametrize(
    "changed",
    [{"true": np.array([[[[True], [True], [False]]]])}, {"nothing": np.array(0.5, np.float32)}],
    ids=["hides", "adds"],
)
def test_a_mask_that_hides_or_adds_something_stays(changed: dict[str, Any]) -> None:
    numbers = {name: GATHERED_CONSTANTS[name] for name in ("nothing", "lowest")}
    model = graph(UNMASKED, **{"true": np.ones((1, 1, 3, 1), bool), **numbers, **changed})
    scores, shape = normal(2, 2, 3, 3), np.array([2, 1, 3, 3])
    before = run(model, scores=scores, shape=shape)
    simplify_mask(model)
    assert "Add" in kinds(model)
    after = run(model, scores=scores, shape=shape)
    seen = before > LOWEST / 2
    np.testing.assert_array_equal(after[seen], before[seen])


def test_a_mask_that_widens_the_scores_stays() -> None:
    numbers = {name: GATHERED_CONSTANTS[name] for name in ("nothing", "lowest")}
    wider = UNMASKED.replace("float[batch, 2, queries, keys] scores", "float[1, 2, queries, keys] scores")
    model = graph(wider, **numbers, true=np.ones((1, 1, 3, 1), bool))
    simplify_mask(model)
    assert "Add" in kinds(model)


def test_numbers_that_are_not_the_lowest_stay() -> None:
    text = "m (bool[n] c) => (float[n] y) { y = Where (c, zero, low) }"
    model = graph(text, zero=np.float32(0), low=np.float32(-5e4))
    assert simplify_mask(model) == 0
    assert run(model, c=np.array([True, False])).tolist() == [0, -5e4]


# Attention.


def attention(scores: str, *, extra: str = "", infos: str = "", inputs: str = "", biases: bool = True) -> str:
    """Attention of x on itself; `scores` says how the product `qk` becomes `s`."""
    tail = "_m" if biases else ""
    add = "".join(f"{one} = Add ({one}_m, b_{one})\n" for one in "qkv") if biases else ""
    return f"""
model (float[batch, n, {WIDTH}] x, int64[batch, n] mask{inputs}) => (float[batch, n, {WIDTH}] y)
<float[batch, n, {WIDTH}] q_m, float[batch, n, {WIDTH}] k_m, float[batch, n, {WIDTH}] v_m,
 float[batch, n, {WIDTH}] q, float[batch, n, {WIDTH}] k, float[batch, n, {WIDTH}] v,
 float[batch, n, {HEADS}, {SIZE}] q_4, float[batch, n, {HEADS}, {SIZE}] k_4, float[batch, n, {HEADS}, {SIZE}] v_4,
 float[batch, {HEADS}, n, n] qk, float[batch, {HEADS}, n, n] s, bool[batch, n] kept, bool[batch, 1, 1, n] kept_4,
 float[batch, 1, 1, n] padding, float[batch, {HEADS}, n, n] scaled, float[batch, {HEADS}, n, n] moved,
 float[batch, {HEADS}, n, n] p, float[batch, {HEADS}, n, {SIZE}] o, float[batch, n, {HEADS}, {SIZE}] merged{infos}>
{{
    kept = Cast <to = 9> (mask)
    kept_4 = Unsqueeze (kept, axes)
    padding = Where (kept_4, nothing, masked)
    q{tail} = MatMul (x, w_q)
    k{tail} = MatMul (x, w_k)
    v{tail} = MatMul (x, w_v)
    {add}
    q_4 = Reshape (q, split)
    k_4 = Reshape (k, split)
    v_4 = Reshape (v, split)
    q_t = Transpose <perm = [0, 2, 1, 3]> (q_4)
    k_t = Transpose <perm = [0, 2, 3, 1]> (k_4)
    v_t = Transpose <perm = [0, 2, 1, 3]> (v_4)
    qk = MatMul (q_t, k_t)
    {extra}
    {scores}
    p = Softmax <axis = -1> (s)
    o = MatMul (p, v_t)
    merged = Transpose <perm = [0, 2, 1, 3]> (o)
    y = Reshape (merged, flat)
}}
"""


def attention_constants(biases: bool = True) -> dict[str, Any]:
    found = {
        "axes": np.array([1, 2]),
        "nothing": np.array(0, np.float32),
        "masked": np.array(MASKED, np.float32),
        "split": np.array([0, 0, HEADS, SIZE]),
        "flat": np.array([0, 0, WIDTH]),
    }
    for number, one in enumerate("qkv"):
        found[f"w_{one}"] = normal(WIDTH, WIDTH, seed=number)
        if biases:
            found[f"b_{one}"] = normal(WIDTH, seed=10 + number)
    return found


X = normal(3, 5, WIDTH, seed=20)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
SCALED = "scaled = Mul (qk, scale)\n s = Add (scaled, padding)"
SCALE = {"scale": np.array(0.3, np.float32)}

#: Scores -> constants they need, further lines, types and inputs, and which of the operator's inputs they fill.
FORMS: dict[str, tuple[str, dict[str, Any], dict[str, str], tuple[bool, bool]]] = {
    "scaled and masked": (SCALED, SCALE, {}, (True, False)),
    "divided": ("scaled = Div (qk, scale)\n s = Add (padding, scaled)", SCALE, {}, (True, False)),
    "no scale": ("s = Add (qk, padding)", {}, {}, (True, False)),
    "no mask": ("s = Mul (scale, qk)", SCALE, {}, (False, False)),
    "position bias and mask": (
        "scaled = Mul (qk, scale)\n moved = Add (scaled, position)\n s = Add (moved, padding)",
        SCALE,
        {"inputs": f", float[1, {HEADS}, n, n] position"},
        (True, True),
    ),
    "one bias per batch and query": (
        "scaled = Mul (qk, scale)\n s = Add (scaled, causal)",
        SCALE,
        {"inputs": ", float[batch, 1, n, n] causal"},
        (False, True),
    ),
    "two biases": (
        "scaled = Mul (qk, scale)\n moved = Add (scaled, position)\n s = Add (moved, causal)",
        SCALE,
        {"inputs": f", float[1, {HEADS}, n, n] position, float[batch, 1, n, n] causal"},
        (False, True),
    ),
}


def attention_inputs(extra: dict[str, str]) -> dict[str, np.ndarray]:
    inputs = {"x": X, "mask": MASK}
    if "position" in extra.get("inputs", ""):
        inputs["position"] = normal(1, HEADS, 5, 5, seed=30)
    if "causal" in extra.get("inputs", ""):
        hidden = np.triu(np.ones((5, 5), np.float32), 1) * np.float32(MASKED)
        inputs["causal"] = np.broadcast_to(hidden, (3, 1, 5, 5)).copy()
    return inputs


@pytest.mark.parametrize("biases", [True, False], ids=["biases", "no biases"])
@pytest.mark.parametrize("form", FORMS)
def test_attention_is_fused(form: str, biases: bool) -> None:
    scores, constants, extra, (padded, biased) = FORMS[form]
    model = graph(attention(scores, biases=biases, **extra), **constants, **attention_constants(biases))
    inputs = attention_inputs(extra)
    before = run(model, **inputs)
    assert fuse_attention(model) == 1
    found = kinds(model)
    assert "Softmax" not in found and "Transpose" not in found and found.count("MatMul") == 3
    (node,) = [one for one in model.graph if one.op_type == "MultiHeadAttention"]
    filled = [*(one is not None for one in node.inputs), False, False, False][3:6]
    assert filled == [biases, padded, biased]
    np.testing.assert_allclose(run(model, **inputs), before, atol=2e-6)


REFUSED = {
    "a scale outside of the mask": ("moved = Add (qk, padding)\n s = Mul (moved, scale)", SCALE, {}),
    "a scale that is computed": ("s = Mul (qk, factor)", {}, {"inputs": f", float[1, {HEADS}, 1, 1] factor"}),
    "a bias of another shape": ("s = Add (qk, bias)", {}, {"inputs": ", float[batch, 1, n, 1] bias"}),
    "scores that are squashed": ("s = Tanh (qk)", {}, {}),
}


@pytest.mark.parametrize("form", REFUSED)
def test_other_attention_is_left_alone(form: str) -> None:
    scores, constants, extra = REFUSED[form]
    model = graph(attention(scores, **extra), **constants, **attention_constants())
    assert fuse_attention(model) == 0
    assert "Softmax" in kinds(model)


def test_probabilities_that_are_read_elsewhere_stay() -> None:
    text = attention(SCALED).replace("(float[batch, n, 8] y)", f"(float[batch, n, 8] y, float[batch, {HEADS}, n, n] p)")
    model = graph(text.replace(f"float[batch, {HEADS}, n, n] p, float", "float"), **SCALE, **attention_constants())
    assert fuse_attention(model) == 0


# Residuals.

RESIDUAL = f"""
model (float[batch, n, {WIDTH}] x) => (float[batch, n, {WIDTH}] y)
<float[batch, n, {WIDTH}] product, float[batch, n, {WIDTH}] biased, float[batch, n, {WIDTH}] added>
{{
    product = MatMul (x, weights)
    biased = Add (product, bias)
    added = Add (biased, x)
    y = LayerNormalization <axis = -1> (added, gain, shift)
}}
"""
RESIDUAL_CONSTANTS = {
    "weights": normal(WIDTH, WIDTH),
    "bias": normal(WIDTH, seed=1),
    "gain": normal(WIDTH, seed=2),
    "shift": normal(WIDTH, seed=3),
}


def test_a_residual_connection_becomes_one_sum() -> None:
    model = graph(RESIDUAL, **RESIDUAL_CONSTANTS)
    before = run(model, x=X)
    assert residual_sum(model) == 1
    assert kinds(model) == ["MatMul", "Sum", "LayerNormalization"]
    np.testing.assert_allclose(run(model, x=X), before, atol=1e-6)


def test_onnxruntime_does_not_undo_it(tmp_path: Any) -> None:
    """The reason for the pass: SkipLayerNormalization is slow on CPUs, and appears wherever its pattern does."""
    for rewrite, fused in ((False, True), (True, False)):
        model = graph(RESIDUAL, **RESIDUAL_CONSTANTS)
        if rewrite:
            residual_sum(model)
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        options.log_severity_level = 3
        content = onnx_ir.to_proto(model).SerializeToString()
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        optimized = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
        assert ("SkipLayerNormalization" in optimized) == fused


def test_a_bias_before_a_normalization_is_no_residual() -> None:
    text = RESIDUAL.replace("added = Add (biased, x)", "added = Mul (biased, x)")
    model = graph(text, **RESIDUAL_CONSTANTS)
    assert residual_sum(model) == 0


# The first token.


def layer(last: str) -> str:
    """Attention, residual, feed-forward; `last` makes y of `out`."""
    body = attention(SCALED).replace("y = Reshape (merged, flat)", "a = Reshape (merged, flat)")
    infos = "".join(f", float[batch, n, {WIDTH}] {one}" for one in ("a", "r", "h", "f", "g", "t", "out"))
    body = body.replace("merged>", f"merged{infos}>").replace(f"(float[batch, n, {WIDTH}] y)", "(float[batch, m] y)")
    more = f"""
    r = Add (a, x)
    h = LayerNormalization <axis = -1> (r, gain, shift)
    f = MatMul (h, weights)
    g = Gelu (f)
    t = Add (g, bias)
    out = Add (t, h)
    {last}
}}
"""
    return body.rstrip().removesuffix("}") + more


@pytest.fixture
def first() -> onnx_ir.Model:
    constants = {**SCALE, **attention_constants(), **RESIDUAL_CONSTANTS, "index": np.array(0)}
    return graph(layer("y = Gather <axis = 1> (out, index)"), **constants)


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "not fused"])
def test_only_the_first_token_is_computed(first: onnx_ir.Model, fused: bool) -> None:
    before = run(first, x=X, mask=MASK)
    if fused:
        assert fuse_attention(first) == 1
    assert first_token_only(first) == (8 if fused else 6)
    assert kinds(first).count("Slice") == (1 if fused else 2)
    np.testing.assert_allclose(run(first, x=X, mask=MASK), before, atol=2e-6)
    sizes = {node.outputs[0].shape[1] for node in first.graph if node.op_type in ("Gelu", "LayerNormalization")}  # type: ignore[index]
    assert sizes == {1}


def test_a_bias_of_attention_is_narrowed_to_the_first_query() -> None:
    scores, constants, extra, _ = FORMS["position bias and mask"]
    text = layer("y = Gather <axis = 1> (out, index)")
    text = text.replace(SCALED, scores).replace("mask)", f"mask{extra['inputs']})", 1)
    everything = {**constants, **attention_constants(), **RESIDUAL_CONSTANTS, "index": np.array(0)}
    model = graph(text, **everything)
    inputs = attention_inputs(extra)
    before = run(model, **inputs)
    assert fuse_attention(model) == 1 and first_token_only(model) == 8
    np.testing.assert_allclose(run(model, **inputs), before, atol=2e-6)


def test_nothing_is_narrowed_where_every_token_is_read(first: onnx_ir.Model) -> None:
    text = layer("s1 = ReduceMean <keepdims = 0> (out, one)\n s0 = Gather <axis = 1> (out, index)\n y = Add (s1, s0)")
    constants = {**SCALE, **attention_constants(), **RESIDUAL_CONSTANTS, "index": np.array(0), "one": np.array([1])}
    model = graph(text, **constants)
    assert first_token_only(model) == 0


def test_another_token_is_not_the_first() -> None:
    constants = {**SCALE, **attention_constants(), **RESIDUAL_CONSTANTS, "index": np.array(1)}
    assert first_token_only(graph(layer("y = Gather <axis = 1> (out, index)"), **constants)) == 0


# What passes share.


def test_equal_constants_are_one_and_different_ones_are_not() -> None:
    model = graph("m (float[n] x) => (float[n] y) { y = Identity (x) }")
    one = add_constant(model.graph, "c", np.array([1, 2]))
    assert add_constant(model.graph, "c", np.array([1, 2])) is one
    other = add_constant(model.graph, "c", np.array([1, 3]))
    assert other is not one and other.name != one.name
    assert constant(other) is not None and constant(model.graph.inputs[0]) is None
    remove_dead(model)
    assert not model.graph.initializers


# Arithmetic in bfloat16.

BIAS = """
model (float[n, 4] x) => (float[n, 4] y)
<bfloat16[n, 4] rounded, bfloat16[n, 4] product, bfloat16[n, 4] total>
{
    rounded = Cast <to = 16> (x)
    product = Mul (rounded, rounded)
    total = Add (product, rounded)
    y = Cast <to = 1> (total)
}
"""


def test_arithmetic_in_bfloat16_is_rounded_as_pytorch_does() -> None:
    x = normal(5, 4)
    model = graph(BIAS)
    assert bfloat16_arithmetic(model) == 2
    rounded = torch.from_numpy(x).bfloat16()
    np.testing.assert_array_equal(run(model, x=x), (rounded * rounded + rounded).float().numpy())
    assert bfloat16_arithmetic(model) == 0


# Padding.


@pytest.mark.parametrize(("value", "count"), [(0.0, 1), (-1.0, 0)])
def test_zeros_around_a_picture_stay_zeros(value: float, count: int) -> None:
    """Pooled with nothing else than numbers below them; ONNX Runtime would leave them out."""
    text = """
    model (float[1, 2, 5, 6] x) => (float[1, 2, rows, columns] y)
    {
        padded = Pad (x, pads, value)
        y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (padded)
    }
    """
    pads = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    model = graph(text, pads=pads, value=np.array(value, np.float32))
    x = -1 - np.abs(normal(1, 2, 5, 6, seed=1))
    assert keep_zero_padding(model) == count and keep_zero_padding(model) == 0
    padded = torch.nn.functional.pad(torch.from_numpy(x), (0, 1, 0, 1), value=value)
    np.testing.assert_array_equal(run(model, x=x), torch.nn.functional.max_pool2d(padded, 3, 2).numpy())
