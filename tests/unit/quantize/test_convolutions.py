"""Convolutions in 8 bits: near fp32, fused by the engine, a picture answered alike whatever stands beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from onnxpress_exporter.precisions.row import IntegerConvolution
from onnxpress_exporter.quantize.convolutions import integer_filters
from onnxpress_exporter.quantize.sites import find_sites
from onnxpress_exporter.quantize.storage import Storage
from onnxpress_exporter.write.save import save
from tests.fixtures.graphs import graph, normal

NETWORK = """
model (float[batch, 3, height, width] x) => (float[batch, 10] y)
<float[batch, 32, h1, w1] a, float[batch, 32, h1, w1] b, float[batch, 32, h2, w2] c, float[batch, 32, h2, w2] d,
 float[batch, 32, h2, w2] e, float[batch, 32, h2, w2] f, float[batch, 32, h2, w2] g, float[batch, 32, h2, w2] h,
 float[batch, 32, 1, 1] i, float[batch, 32] j>
{
    a = Conv <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x, stem, stem_bias)
    b = Relu (a)
    c = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (b)
    d = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (c, first, first_bias)
    e = Relu (d)
    f = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], group = 32> (e, deep)
    g = Add (f, c)
    h = Conv <kernel_shape = [1, 1]> (g, last)
    i = GlobalAveragePool (h)
    j = Flatten (i)
    y = MatMul (j, head)
}
"""


def network() -> onnx_ir.Model:
    return graph(
        NETWORK,
        stem=normal(32, 3, 3, 3) * 0.2,
        stem_bias=normal(32, seed=1),
        first=normal(32, 32, 3, 3, seed=2) * 0.06,
        first_bias=normal(32, seed=3),
        deep=normal(32, 1, 3, 3, seed=4) * 0.3,
        last=normal(32, 32, 1, 1, seed=5) * 0.2,
        head=normal(32, 10, seed=6),
    )


def pictures(count: int, height: int = 24, width: int = 20, seed: int = 0) -> NDArray[np.float32]:
    return normal(count, 3, height, width, seed=seed)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[onnx_ir.Model, Path, Path]:
    folder, model = tmp_path_factory.mktemp("convolutions"), network()
    store = Storage(model)
    store.watch([{"x": pictures(1, seed=seed)} for seed in range(8)])
    eight = store.build({site.value: IntegerConvolution() for site in store.sites}, None)
    return eight, save(model, folder / "fp32.onnx")[0], save(eight, folder / "int8.onnx")[0]


def answers(path: Path, x: NDArray[np.float32]) -> NDArray[Any]:
    return np.asarray(onnxruntime.InferenceSession(path).run(None, {"x": x})[0])


def test_values_that_convolutions_read_are_sites() -> None:
    sites = {site.value: site for site in find_sites(network())}
    assert {name: (site.width, site.products) for name, site in sites.items()} == {
        "x": (3, ("a",)),
        "c": (32, ("d",)),
        "e": (32, ("f",)),
        "g": (32, ("h",)),
    }
    assert all(site.convolution for site in sites.values())


def test_answers_are_near_at_any_size(made: tuple[onnx_ir.Model, Path, Path]) -> None:
    _, fp32, int8 = made
    for size in ((24, 20), (31, 45), (64, 8)):
        x = pictures(4, *size, seed=11)
        expected = answers(fp32, x)
        assert np.linalg.norm(answers(int8, x) - expected) <= 0.05 * np.linalg.norm(expected)
    assert int8.stat().st_size < 0.5 * fp32.stat().st_size


def test_a_picture_is_answered_alike_alone_and_beside_others(made: tuple[onnx_ir.Model, Path, Path]) -> None:
    """Whatever stands beside it, also what is far larger than anything that was seen."""
    x = pictures(5, seed=21)
    x[1] *= 1000
    together = answers(made[2], x)
    for place in range(5):
        assert answers(made[2], x[place : place + 1]).tobytes() == together[place : place + 1].tobytes()


def test_the_engine_multiplies_integers(made: tuple[onnx_ir.Model, Path, Path], tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(made[2], options)
    kinds = [node.op_type for node in onnx_ir.load(tmp_path / "optimized.onnx").graph]
    assert kinds.count("QLinearConv") == 4 and "Conv" not in kinds and "QLinearAdd" in kinds and "Relu" not in kinds


def test_a_site_alone_leaves_the_others_as_they_are(made: tuple[onnx_ir.Model, Path, Path]) -> None:
    store = Storage(network())
    store.watch([{"x": pictures(1)}])
    model = store.with_plan({"g": IntegerConvolution()})
    assert len(model.graph.initializers["stem"].shape or ()) == 4 and "last" not in model.graph.initializers
    assert [node.op_type for node in model.graph].count("QuantizeLinear") == 2


def test_few_convolutions_among_products_stay() -> None:
    text = """
    model (float[batch, 3, height, width] x) => (float[batch, tokens, 64] y)
    <float[batch, 64, h, w] a, float[batch, 64, tokens] b, float[batch, tokens, 64] c>
    {
        a = Conv <kernel_shape = [4, 4], strides = [4, 4]> (x, patch)
        b = Reshape (a, sizes)
        c = Transpose <perm = [0, 2, 1]> (b)
        y = MatMul (c, wide)
    }
    """
    sizes = np.array([0, 64, -1], np.int64)
    model = graph(text, patch=normal(64, 3, 4, 4), sizes=sizes, wide=normal(64, 512))
    assert [site.value for site in find_sites(model)] == ["c"]
    assert Storage(model).skipped == {"a": "little work beside the products'"}


@given(
    outputs=st.integers(1, 5),
    channels=st.integers(1, 7),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    unit=st.floats(1e-6, 10),
    seed=st.integers(0, 1000),
)
def test_filters_are_near_the_weights_and_fit_their_kernels(
    outputs: int, channels: int, kernel: tuple[int, int], unit: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.standard_normal((outputs, channels, *kernel)).astype(np.float32)
    weights[0] *= 1e-9  # a channel that does nothing but add its bias
    bias = generator.standard_normal(outputs).astype(np.float32)
    filters = integer_filters(weights, bias, unit, np.ones(channels, np.float32))
    assert filters.integers.shape == weights.shape and filters.bias is not None
    steps = np.float64(unit) * filters.scales
    assert np.all(np.abs(filters.bias * steps - bias) <= 0.51 * steps + 1e-6 * np.abs(bias))
    restored = filters.integers * filters.scales[:, None, None, None]
    # Two neighbours, channels innermost, add up to 128 at most; the largest of a channel may be cut.
    whole = np.moveaxis(filters.integers, 1, -1).reshape(outputs, -1).astype(np.int32)
    for signed in (np.maximum(whole, 0), np.minimum(whole, 0)):
        pairs = signed[:, : signed.shape[1] // 2 * 2].reshape(outputs, -1, 2).sum(axis=-1)
        assert np.abs(pairs).max(initial=0) <= 128
    assert np.abs(restored - weights).max() <= np.abs(weights).max()
    if outputs > 1 and weights[0].size > 8:
        assert np.linalg.norm(restored[1:] - weights[1:]) <= 0.2 * np.linalg.norm(weights[1:])


WAVES = """
model (float[batch, 1, samples] x) => (float[batch, tokens, 64] y)
<float[batch, 64, t1] a, float[batch, 64, t1] b, float[batch, 64, t2] c, float[batch, t2, 64] d, float[batch, t2, 64] e>
{
    a = Conv <kernel_shape = [10], strides = [5]> (x, first)
    b = com.microsoft.Gelu (a)
    c = Conv <kernel_shape = [3], strides = [2]> (b, second)
    d = Transpose <perm = [0, 2, 1]> (c)
    e = MatMul (d, up)
    y = MatMul (e, down)
}
"""


def test_convolutions_of_sounds_count_by_how_often_they_are_multiplied(tmp_path: Path) -> None:
    """Twice as often as the products behind their stride."""
    weights = {
        "first": normal(64, 1, 10, seed=1),
        "second": normal(64, 64, 3, seed=2) * 0.1,
        "up": normal(64, 512, seed=3) * 0.1,
        "down": normal(512, 64, seed=4) * 0.1,
    }
    model = graph(WAVES, **weights)
    assert [site.value for site in find_sites(model) if site.convolution] == []
    weights["up"], weights["down"] = normal(64, 128, seed=3) * 0.1, normal(128, 64, seed=4) * 0.1
    model = graph(WAVES, **weights)
    store = Storage(model)
    assert [(site.value, site.width) for site in store.sites if site.convolution] == [("x", 1), ("b", 64)]
    store.watch([{"x": normal(1, 1, 900, seed=seed)} for seed in range(8)])
    eight = store.build({site.value: IntegerConvolution() for site in store.sites if site.convolution}, None)
    fp32, int8 = save(model, tmp_path / "fp32.onnx")[0], save(eight, tmp_path / "int8.onnx")[0]
    x = normal(3, 1, 1234, seed=31)
    expected, computed = answers(fp32, x), answers(int8, x)
    assert np.linalg.norm(computed - expected) <= 0.05 * np.linalg.norm(expected)
    assert answers(int8, x[1:2]).tobytes() == computed[1:2].tobytes()
