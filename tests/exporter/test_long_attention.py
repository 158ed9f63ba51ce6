"""Attention over long inputs: the same answers block by block, from keys within reach alone; short ones as before."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress_exporter.passes import LONG_TOKENS, attention_blocks, long_attention, with_long_inputs
from onnxpress_exporter.passes.long_attention import long_attention as rewrite
from onnxpress_exporter.passes.simplify_mask import MASKED
from onnxpress_exporter.passes.whole_attention import whole_attention
from onnxpress_exporter.precisions.row import Integers
from onnxpress_exporter.quantize.storage import Storage
from tests.fixtures.graphs import graph, kinds, normal, run

HEADS, SIZE, WINDOW = 2, 32, 3
WIDTH = HEADS * SIZE
LONG, BLOCK = 10, 4

#: How a bias comes about, and further lines: types, then nodes.
ALL_KEYS = ("", "bias = Where (kept_4, nothing, masked)")
WINDOWED = (
    ", bool[batch, 1, n, n] near_and_kept, int64[1, 1, n, 1] rows, int64[1, 1, 1, n] columns, int64[1, 1, n, n] apart,"
    " int64[1, 1, n, n] distance, bool[1, 1, n, n] near, int64[n] at",
    """length = Shape <start = 1, end = 2> (mask)
    count = Squeeze (length)
    at = Range (first, count, step)
    rows = Unsqueeze (at, axes_of_rows)
    columns = Unsqueeze (at, axes_of_columns)
    apart = Sub (rows, columns)
    distance = Abs (apart)
    near = LessOrEqual (distance, window)
    near_and_kept = And (near, kept_4)
    bias = Where (near_and_kept, nothing, masked)""",
)
BIASES = {"all keys": ("1", ALL_KEYS), "a window": ("n", WINDOWED)}


def attention(
    kind: str, *, scores: str = "s = Add (scaled, bias)", extra: str = "", output: str = "y"
) -> onnx_ir.Model:
    """A layer of attention of x on itself, with rotated queries, which is why nothing fuses it."""
    queries, (types, nodes) = BIASES[kind]
    text = f"""
model (float[batch, n, {WIDTH}] x, int64[batch, n] mask{extra}) => (float[batch, {HEADS}, n, {SIZE}] {output})
<float[batch, n, {WIDTH}] q, float[batch, n, {HEADS}, {SIZE}] split_x, float[batch, {HEADS}, n, {SIZE}] heads_x,
 float[batch, {HEADS}, n, {SIZE}] queries, float[batch, {HEADS}, {SIZE}, n] keys,
 float[batch, {HEADS}, n, {SIZE}] values,
 float[batch, {HEADS}, n, n] qk, float[batch, {HEADS}, n, n] scaled, float[batch, {HEADS}, n, n] s,
 float[batch, {HEADS}, n, n] p, bool[batch, n] kept, bool[batch, 1, 1, n] kept_4,
 float[batch, 1, {queries}, n] bias{types}>
{{
    kept = Cast <to = 9> (mask)
    kept_4 = Unsqueeze (kept, axes)
    {nodes}
    q = MatMul (x, w)
    split_x = Reshape (q, split)
    heads_x = Transpose <perm = [0, 2, 1, 3]> (split_x)
    queries = Neg (heads_x)
    values = Mul (heads_x, half)
    keys = Transpose <perm = [0, 1, 3, 2]> (heads_x)
    qk = MatMul (queries, keys)
    scaled = Mul (qk, half)
    {scores}
    p = Softmax <axis = -1> (s)
    y = MatMul (p, values)
}}
"""
    constants: dict[str, Any] = {
        "axes": np.array([1, 2]),
        "axes_of_rows": np.array([0, 1, 3]),
        "axes_of_columns": np.array([0, 1, 2]),
        "first": np.array(0),
        "step": np.array(1),
        "window": np.array(WINDOW),
        "nothing": np.array(0, np.float32),
        "masked": np.array(MASKED, np.float32),
        "half": np.array(0.5, np.float32),
        "split": np.array([0, 0, HEADS, SIZE]),
        "w": normal(WIDTH, WIDTH),
    }
    return graph(text, **constants)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is long, and a block, of a size that a test can show."""
    monkeypatch.setattr(long_attention, "LONG_TOKENS", LONG)
    monkeypatch.setattr(attention_blocks, "BLOCK", BLOCK)


def inputs_of(tokens: int, padded: int = 0) -> dict[str, np.ndarray]:
    """Two rows, of which the second ends with padding."""
    mask = np.ones((2, tokens), np.int64)
    mask[1, tokens - padded :] = 0
    return {"x": normal(2, tokens, WIDTH, seed=tokens), "mask": mask}


def assert_same(after: np.ndarray, before: np.ndarray, inputs: dict[str, np.ndarray]) -> None:
    """But for the queries of padding, which nothing reads: those whose keys are all hidden see the mean of any."""
    kept = np.broadcast_to(inputs["mask"].astype(bool)[:, None, :, None], before.shape)
    np.testing.assert_allclose(after[kept], before[kept], atol=2e-6)


@pytest.mark.parametrize("kind", BIASES)
@pytest.mark.parametrize("tokens", [1, LONG, LONG + 1, 3 * BLOCK, 3 * BLOCK + 1, 29])
def test_answers_are_the_same(kind: str, tokens: int) -> None:
    model, inputs = attention(kind), inputs_of(tokens, tokens // 3)
    before = run(model, **inputs)
    assert rewrite(model) == 1
    after = run(model, **inputs)
    if tokens <= LONG:
        assert np.array_equal(after, before)
    assert_same(after, before, inputs)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(0, 39), st.sampled_from([*BIASES]))
def test_answers_are_the_same_for_any_length_and_padding(tokens: int, padded: int, kind: str) -> None:
    model, inputs = attention(kind), inputs_of(tokens, min(padded, tokens - 1))
    before = run(model, **inputs)
    rewrite(model)
    assert_same(run(model, **inputs), before, inputs)


def test_keys_beyond_a_window_are_not_read() -> None:
    model, inputs = attention("a window"), inputs_of(40)
    inputs["x"][:, -1] = np.nan  # hidden keys count for 0, and 0 times this is this
    assert np.isnan(run(model, **inputs)).all()
    rewrite(model)
    finite = np.isfinite(run(model, **inputs)).all(axis=(0, 1, 3))
    assert finite[: 40 - BLOCK - WINDOW - BLOCK].all() and not finite[-1]


@pytest.mark.parametrize("shape", ["1, {HEADS}, n, n", "batch, 1, n, n", "1, {HEADS}, 1, 1"])
def test_a_bias_that_is_given_is_cut(shape: str) -> None:
    """Of each query and key, or the same for all of a head."""
    shape = shape.format(HEADS=HEADS)
    scores = "moved = Add (scaled, given)\n    s = Add (bias, moved)"
    model = attention("all keys", scores=scores, extra=f", float[{shape}] given")
    model.graph.inputs[2].name = "given"
    sizes = {"batch": 2, "n": 17}
    inputs = inputs_of(17, 4)
    inputs["given"] = normal(*(sizes.get(size.strip()) or int(size) for size in shape.split(",")))
    for node in model.graph:
        if node.op_type == "Add" and node.outputs[0].name == "moved":
            node.outputs[0].shape = onnx_ir.Shape(("batch", HEADS, "n", "n"))
    before = run(model, **inputs)
    assert rewrite(model) == 1
    np.testing.assert_allclose(run(model, **inputs), before, atol=2e-6)


def test_nothing_of_the_size_of_scores_is_computed_outside_of_branches() -> None:
    model = attention("a window")
    rewrite(model)
    shapes = {output.name: tuple(map(str, output.shape or ())) for node in model.graph for output in node.outputs}
    assert not [name for name, shape in shapes.items() if shape.count("n") > 1], shapes


def test_what_was_there_can_be_put_back() -> None:
    model, inputs = attention("a window"), inputs_of(23, 5)
    before, there = run(model, **inputs), sorted(kinds(model))
    rewrite(model)
    assert whole_attention(model) == 2  # the attention and its bias
    assert sorted(kinds(model)) == there and np.array_equal(run(model, **inputs), before)
    assert whole_attention(model) == 0


NODE = f"""
model (float[batch, n, {WIDTH}] x, int32[batch, n] mask) => (float[batch, n, {WIDTH}] y)
{{
    y = com.microsoft.MultiHeadAttention <num_heads = {HEADS}, mask_filter_value = -1e9> (x, x, x, none, mask)
}}
""".replace("none", "")


@pytest.mark.parametrize("padded", [0, 3])
@pytest.mark.parametrize("tokens", [LONG, 25])
def test_attention_of_one_node_reads_no_mask_of_a_long_text_without_padding(tokens: int, padded: int) -> None:
    model, inputs = graph(NODE), inputs_of(tokens, padded)
    inputs["mask"] = inputs["mask"].astype(np.int32)
    before = run(model, **inputs)
    assert rewrite(model) == 1
    np.testing.assert_allclose(run(model, **inputs), before, atol=2e-6)
    assert whole_attention(model) == 1 and kinds(model) == ["MultiHeadAttention"]


def test_other_attention_is_left_alone() -> None:
    read_elsewhere = attention("all keys")
    read_elsewhere.graph.outputs.append(
        next(node.outputs[0] for node in read_elsewhere.graph if node.op_type == "Softmax")
    )
    assert rewrite(read_elsewhere) == 0
    of_one_size = attention("all keys")
    for value in of_one_size.graph.inputs:
        value.shape = onnx_ir.Shape(
            (2, 16, *list(value.shape or ())[2:])
        )  # as a graph of pictures: no axis is called n
    assert rewrite(of_one_size) == 0


def test_variants_read_long_texts_block_by_block_too() -> None:
    plain, long = attention("a window"), attention("a window")
    rewrite(long)
    stores = [Storage(model) for model in (plain, long)]
    assert [site.value for site in stores[0].sites] == [site.value for site in stores[1].sites] != []
    watched = [{name: array[:1] for name, array in inputs_of(tokens).items()} for tokens in (5, 9, 23)]
    built = []
    for store in stores:
        store.watch(watched)
        built.append(store.build({site.value: Integers() for site in store.sites}, None))
    assert "If" not in kinds(built[0]) and kinds(built[1]).count("If") == 2
    inputs = inputs_of(31, 7)
    assert_same(run(built[1], **inputs), run(built[0], **inputs), inputs)
    assert "If" not in kinds(stores[1].build({}, None, half=True))  # for GPUs, which have other nodes


def test_only_what_may_be_long_has_branches() -> None:
    assert with_long_inputs(("a",), LONG_TOKENS) == ("a",)
    assert with_long_inputs(("a",), LONG_TOKENS + 1) == with_long_inputs(("a",), None) == ("a", "long_attention")
