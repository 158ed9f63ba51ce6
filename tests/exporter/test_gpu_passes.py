"""Rewrites for GPUs, on graphs of a few nodes: what they become, in 32 and in 16 bits, and what they leave alone."""

from __future__ import annotations

import numpy as np
import onnx_ir
import pytest

from onnxpress_exporter.passes.bias_gelu import bias_gelu
from onnxpress_exporter.passes.half_precision import half_precision
from onnxpress_exporter.passes.packed_attention import packed_attention
from onnxpress_exporter.passes.simplify_mask import MASKED
from onnxpress_exporter.passes.skip_norms import skip_norms
from tests.fixtures.graphs import graph, kinds, normal, run

WIDTH = 8
CONSTANTS = {
    "bias": normal(WIDTH),
    "gamma": normal(WIDTH),
    "beta": normal(WIDTH),
    **{f"w{name}": normal(WIDTH, WIDTH) for name in "qkv"},
    "biases": normal(3 * WIDTH),
}

NORM = """
model (float[b, s, 8] x, float[b, s, 8] residual) => (float[b, s, 8] y)
<float[b, s, 8] total>
{
    total = Sum (x, bias, residual)
    y = LayerNormalization <axis = -1, epsilon = 1e-12> (total, gamma, beta)
}
"""
#: The sum goes on beside its normalization, as where layers begin with it.
BEFORE = """
model (float[b, s, 8] x, float[b, s, 8] residual) => (float[b, s, 8] y)
<float[b, s, 8] total, float[b, s, 8] normal, float[b, s, 8] sign>
{
    total = Add (x, residual)
    sign = Neg (total)
    normal = LayerNormalization <axis = -1> (total, gamma, beta)
    y = Sub (normal, sign)
}
"""
#: As a decoder's layers begin.
SIMPLIFIED = BEFORE.replace(
    "LayerNormalization <axis = -1> (total, gamma, beta)", "SimplifiedLayerNormalization <axis = -1> (total, gamma)"
).replace("Add (x, residual)", "Sum (residual, x, bias)")
#: Positions are alike for all rows.
BROADCAST = NORM.replace("float[b, s, 8] residual", "float[1, s, 8] residual")
GELU = """
model (float[b, s, 8] x) => (float[b, s, 8] y)
<float[b, s, 8] sum>
{
    sum = Add (bias, x)
    y = Gelu <approximate = "KIND"> (sum)
}
"""
ATTENTION = """
model (float[b, s, 8] x, int32[b, s] mask) => (float[b, s, 8] y)
<float[b, s, 8] q, float[b, s, 8] k, float[b, s, 8] v>
{
    q = MatMul (x, wq)
    k = MatMul (x, wk)
    v = MatMul (x, wv)
    y = com.microsoft.MultiHeadAttention <num_heads = 2, mask_filter_value = -1e9> (q, k, v, biases, mask)
}
"""


def _alike(model: onnx_ir.Model, expected: np.ndarray, **inputs: np.ndarray) -> None:
    """The same numbers in 32 bits, and within the steps of 16."""
    np.testing.assert_allclose(run(model, **inputs), expected, atol=2e-5)
    half_precision(model)
    obtained = run(model, **inputs)
    assert obtained.dtype == np.float32
    assert np.abs(obtained - expected).max() < 0.01 * (expected.max() - expected.min())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NORM, ["SkipLayerNormalization"]),
        (BEFORE, ["SkipLayerNormalization", "Neg", "Sub"]),
        (SIMPLIFIED, ["SkipSimplifiedLayerNormalization", "Neg", "Sub"]),
    ],
)
def test_a_residual_connection_is_one_node(text: str, expected: list[str]) -> None:
    model = graph(text, **CONSTANTS)
    inputs = {"x": normal(2, 3, WIDTH), "residual": normal(2, 3, WIDTH)}
    before = run(model, **inputs)
    assert skip_norms(model) == 1
    assert kinds(model) == expected
    _alike(model, before, **inputs)


def test_what_is_added_to_every_row_alike_is_left_alone() -> None:
    model = graph(BROADCAST, **CONSTANTS)
    assert skip_norms(model) == 0
    assert kinds(model) == ["Sum", "LayerNormalization"]


@pytest.mark.parametrize(("kind", "node"), [("none", "BiasGelu"), ("tanh", "FastGelu")])
def test_a_bias_before_gelu_is_part_of_it(kind: str, node: str) -> None:
    model = graph(GELU.replace("KIND", kind), **CONSTANTS)
    x = normal(2, 3, WIDTH)
    before = run(model, x=x)
    assert bias_gelu(model) == 1
    assert kinds(model) == [node]
    _alike(model, before, x=x)


@pytest.mark.parametrize("biased", [True, False])
def test_attention_over_itself_has_one_product(biased: bool) -> None:
    model = graph(ATTENTION if biased else ATTENTION.replace("biases", ""), **CONSTANTS)
    inputs = {"x": normal(2, 3, WIDTH), "mask": np.array([[1, 1, 1], [1, 0, 0]], np.int32)}
    before = run(model, **inputs)
    assert packed_attention(model) == 1
    assert kinds(model) == ["Attention"]
    (node,) = model.graph
    assert node.attributes["mask_filter_value"].as_float() == np.float32(MASKED)
    _alike(model, before, **inputs)
    (node,) = (node for node in model.graph if node.op_type == "Attention")
    assert node.attributes["mask_filter_value"].as_float() == -65504, "16 bits hold it"


@pytest.mark.parametrize(
    "change",
    [
        ("q = MatMul (x, wq)", "first = Neg (x)\n    q = MatMul (first, wq)"),
        ("=> (float[b, s, 8] y)", "=> (float[b, s, 8] y, float[b, s, 8] k)"),
    ],
    ids=["queries of other rows", "keys that are returned"],
)
def test_other_attention_is_left_alone(change: tuple[str, str]) -> None:
    model = graph(
        ATTENTION.replace(*change).replace("float[b, s, 8] k, float[b, s, 8] v>", "float[b, s, 8] v>"), **CONSTANTS
    )
    assert packed_attention(model) == 0
