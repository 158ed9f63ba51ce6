"""Graphs that are asked once are never written, and share the files of the graph that they were made from."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import pytest

from onnxpress.engine.session import Session
from onnxpress_exporter.passes.graph import add_constant
from onnxpress_exporter.precisions.row import Blocks, Integers, Thresholds
from onnxpress_exporter.quantize import quantizer as quantizing
from onnxpress_exporter.quantize import storage as storing
from onnxpress_exporter.quantize.calibration import _tapped, calibrate
from onnxpress_exporter.quantize.quantizer import Quantizer
from onnxpress_exporter.quantize.settings import Settings
from onnxpress_exporter.quantize.sites import find_sites
from onnxpress_exporter.quantize.storage import Storage
from onnxpress_exporter.quantize.thresholds import Verdict, misses
from onnxpress_exporter.quantize.unsaved import opened, unsaved

WIDTH = 256
LAYERS = 4


@pytest.fixture
def saved(tmp_path: Path) -> onnx_ir.Model:
    """Some products after each other, whose weights of 256 KB each are in a file beside the graph, as it is read."""
    x = onnx_ir.Value(name="x", shape=onnx_ir.Shape(["rows", WIDTH]), type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT))
    graph = onnx_ir.Graph([x], [], nodes=[], name="layers", opset_imports={"": 21})
    generator = np.random.default_rng(0)
    value = x
    for layer in range(LAYERS):
        weights = generator.normal(size=(WIDTH, WIDTH)).astype(np.float32) / np.float32(np.sqrt(WIDTH))
        node = onnx_ir.node("MatMul", [value, add_constant(graph, f"w{layer}", weights)])
        (value,) = node.outputs
        value.name, value.shape, value.type = f"y{layer}", x.shape, x.type
        graph.append(node)
    graph.outputs.append(value)
    folder = tmp_path / "saved"
    folder.mkdir()
    onnx_ir.save(onnx_ir.Model(graph, ir_version=10), folder / "model.onnx", external_data="model.onnx_data")
    return onnx_ir.load(folder / "model.onnx")


@pytest.fixture
def writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that graphs are saved to; nothing is left for temporary ones."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    paths: list[Path] = []
    save = onnx_ir.save

    def counting(model: onnx_ir.Model, path: Any, **options: Any) -> None:
        paths.append(Path(path))
        save(model, path, **options)

    monkeypatch.setattr(onnx_ir, "save", counting)
    return paths


INPUTS = [{"x": np.random.default_rng(1).normal(size=(5, WIDTH)).astype(np.float32)}]


def test_weights_stay_in_their_file_and_new_ones_in_memory(saved: onnx_ir.Model, tmp_path: Path) -> None:
    storage = Storage(saved)
    graph = unsaved(storage.with_plan({"y1": Blocks(8)}))
    assert set(graph.weights) == {"y2_blocks", "y2_scales"}  # zeros are few
    assert len(graph.content) < 50_000
    assert graph.folder == (tmp_path / "saved").resolve()


def test_it_answers_as_when_saved(saved: onnx_ir.Model, tmp_path: Path) -> None:
    model = Storage(saved).with_plan({"y1": Blocks(8), "x": Blocks(4)})
    with opened("model", model) as session:
        obtained = session.run(INPUTS[0], "model")
    onnx_ir.save(model, tmp_path / "saved" / "other.onnx")
    expected = Session({"model": tmp_path / "saved" / "other.onnx"}).run(INPUTS[0])
    assert list(obtained) == list(expected)
    np.testing.assert_array_equal(obtained["y3"], expected["y3"])


def test_watching_writes_nothing(saved: onnx_ir.Model, writes: list[Path]) -> None:
    statistics = calibrate(saved, find_sites(saved), INPUTS)
    np.testing.assert_allclose(statistics["x"].hessian, INPUTS[0]["x"].T @ INPUTS[0]["x"] / 5, rtol=1e-4, atol=1e-5)
    assert statistics["y2"].count == 5
    assert not writes


def test_what_no_watched_value_needs_is_not_computed(saved: onnx_ir.Model) -> None:
    watched = _tapped(saved, ["x", "y1"])
    assert [node.outputs[0].name for node in watched.graph] == ["y0", "y1"]
    assert [value.name for value in watched.graph.outputs] == ["x", "y1"]
    assert len(list(saved.graph)) == LAYERS


class _Gate:
    """Passes what keeps half of the products in 8 bits."""

    def __init__(self) -> None:
        self.judged = 0

    def judge(self, session: Session, thresholds: Thresholds) -> Verdict:
        self.judged += 1
        session.run(INPUTS[0])
        figures = {"cosine, worst": 1.0 if self.judged > 2 else 0.0}
        return Verdict(figures, misses(figures, thresholds))

    def inputs(self, graph: str) -> list[dict[str, Any]]:
        return INPUTS


def test_repair_writes_a_graph_for_each_that_is_judged_and_none_for_each_site(
    saved: onnx_ir.Model, writes: list[Path], tmp_path: Path
) -> None:
    gate, said = _Gate(), list[str]()
    quantizer = Quantizer({"model": saved}, {"model": "encoder"}, {}, tmp_path, gate, Settings(), writes=False)
    outcome = quantizer.make("q4", said.append)
    assert outcome.verdict.passed
    assert sum("alone" in text for text in said) > LAYERS
    assert len(writes) == gate.judged == 3


def test_of_a_graph_that_multiplies_much_few_inputs_are_asked(
    saved: onnx_ir.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(saved)
    storage.watch(INPUTS * 3)
    assert storage.multiplications == 5 * LAYERS * WIDTH * WIDTH
    gate = _Gate()
    gate.inputs = lambda graph: INPUTS * 40  # type: ignore[method-assign,assignment]
    for most, asked in ((quantizing.HARM_MULTIPLICATIONS, 24), (4 * storage.multiplications, 5), (1, 2)):
        monkeypatch.setattr(quantizing, "HARM_MULTIPLICATIONS", most)
        quantizer = Quantizer({"model": saved}, {"model": "encoder"}, {}, tmp_path, gate, Settings(), writes=False)
        quantizer._watch("model", lambda what: None)
        assert len(quantizer._outputs("model")) == asked


def test_sites_side_by_side_are_rounded_as_one_after_the_other(
    saved: onnx_ir.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = []
    for cores in (1, 4):
        monkeypatch.setattr(storing, "usable_cores", lambda cores=cores: cores)
        storage = Storage(saved)
        storage.watch(INPUTS)
        storage.balance()
        plan = {site.value: Integers(each_row=number % 2 == 0) for number, site in enumerate(storage.sites)}
        contents.append(onnx_ir.to_proto(storage.build(plan, None)).SerializeToString(deterministic=True))
    assert contents[0] == contents[1]
