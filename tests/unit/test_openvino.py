"""Graphs that OpenVINO runs, where it is installed: the answers of ONNX Runtime, and the same errors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from onnxpress.engine.binding import Binding
from onnxpress.engine.session import Session
from onnxpress.errors import CorruptFile, DeviceUnavailable, InputError, UnsupportedFormat
from onnxpress_exporter.passes.integer_products import IntegerSite, IntegerWeights, integer_products
from onnxpress_exporter.passes.quantize_dequantize import quantize_dequantize
from onnxpress_exporter.quantize.ranges import choose_range
from onnxpress_exporter.quantize.rounding import INT8, UINT8, Levels, round_weights
from onnxpress_exporter.write.save import save
from tests.fixtures.graphs import graph, normal

pytest.importorskip("openvino", reason="openvino is not installed")

TEXT = """
model (float[batch, tokens, 64] x, int64[batch, tokens] mask)
    => (float[batch, tokens, 48] y, float[batch, tokens, 48] z)
{
    y = MatMul (x, w)
    cast = Cast <to = 1> (mask)
    wide = Unsqueeze (cast, last)
    z = Mul (y, wide)
}
"""
W = normal(64, 48, seed=1)


def arrays(batch: int = 2, tokens: int = 5) -> dict[str, np.ndarray]:
    mask = (np.arange(tokens) < np.arange(1, batch + 1)[:, None] + 2).astype(np.int64)
    return {"x": normal(batch, tokens, 64, seed=batch + tokens), "mask": mask}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save(graph(TEXT, w=W, last=np.array([-1])), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_it_answers_as_onnx_runtime_does_from_several_threads_at_once(file: Path) -> None:
    ours, theirs = Session({"model": file}), Session({"model": file}, device="openvino", threads=1)
    shapes = [(1, 1), (2, 5), (3, 7), (1, 30)] * 8
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda shape: theirs.run(arrays(*shape)), shapes))
    for shape, answer in zip(shapes, answers, strict=True):
        expected = ours.run(arrays(*shape))
        assert answer.keys() == expected.keys() == {"y", "z"}
        for name in expected:
            np.testing.assert_allclose(answer[name], expected[name], rtol=1e-4, atol=1e-5)
    assert theirs.input_dtype("mask") == "int64" and theirs.input_dtype("x") == "float32"


def test_a_run_does_not_overwrite_the_answers_of_the_one_before(file: Path) -> None:
    session = Session({"model": file}, device="openvino")
    first = session.run(arrays())["y"]
    copy = first.copy()
    session.run({**arrays(), "x": np.ones((2, 5, 64), np.float32)})
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mask": np.ones((2, 5), np.int32)}, "mask: int32, but graph 'model' wants int64"),
        ({"mask": np.ones((2, 5, 1), np.int64)}, "3 axes"),
        ({"x": np.ones((2, 5, 63), np.float32)}, "x: "),
        ({"other": np.ones(3)}, "unknown: .'other'."),
    ],
)
def test_inputs_that_do_not_fit_are_the_callers_mistake(file: Path, changed: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Session({"model": file}, device="openvino").run({**arrays(), **changed})


def test_what_it_cannot_do_is_said(file: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailable, match=r'runs models that read.*device="cpu"'):
        Binding(Session({"model": file}, device="openvino"))
    with pytest.raises(CorruptFile, match="there is no such file"):
        Session({"model": tmp_path / "none.onnx"}, device="openvino").warm()
    text = "model (float[n, 64] x) => (float[n, 64] y)\n{\n y = com.microsoft.NoSuchOperator (x)\n}\n"
    save(graph(text), tmp_path / "other.onnx")
    with pytest.raises(UnsupportedFormat, match=r"cannot read this graph.*--tune"):
        Session({"model": tmp_path / "other.onnx"}, device="openvino").warm()


@pytest.mark.parametrize("levels", [INT8, UINT8], ids=["signed", "unsigned"])
@pytest.mark.parametrize("each_row", [True, False], ids=["rows", "constant"])
def test_integer_products_in_its_form_are_near_the_real_ones(levels: Levels, each_row: bool, tmp_path: Path) -> None:
    model, x = graph(TEXT, w=W, last=np.array([-1])), arrays(3, 9)
    rounded = round_weights(W, levels)
    zeros = None if levels.symmetric else rounded.zeros[0].astype(np.uint8)
    integers = rounded.integers.astype(np.int8 if levels.symmetric else np.uint8)
    how = choose_range(x["x"].reshape(-1, 64), np.square(W).sum(axis=1), each_row=each_row)
    integer_products(model, [IntegerSite({"y": IntegerWeights(integers, rounded.scales[0], zeros)}, how)])
    assert quantize_dequantize(model) == 1
    save(model, tmp_path / "form.onnx")
    answer = Session({"model": tmp_path / "form.onnx"}, device="openvino").run(x)["y"]
    expected = x["x"] @ W
    assert np.linalg.norm(answer - expected) / np.linalg.norm(expected) < 0.03
