"""A graph that gives a text another answer in another company is flagged when it is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import onnxpress
from onnxpress import Artifact
from onnxpress.errors import BatchDependenceWarning
from tests.fixtures.artifacts import GRAPH, seal
from tests.fixtures.embedder import write_embedder


def _one_range_for_all(folder: Path) -> None:
    """What ONNX Runtime's dynamic quantization does with the words' vectors: round them by one range."""
    model = onnx.load(folder / GRAPH)
    last = model.graph.node[-1]
    last.output[0] = "exact"
    model.graph.node.extend(
        [
            helper.make_node("DynamicQuantizeLinear", ["exact"], ["integers", "scale", "zero"]),
            helper.make_node("DequantizeLinear", ["integers", "scale", "zero"], ["rounded"]),
            helper.make_node("Mul", ["rounded", "one"], ["last_hidden_state"]),
        ]
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "one"))
    onnx.save(model, folder / GRAPH)
    seal(folder, Artifact.open(folder).manifest)


def test_one_range_for_a_whole_tensor_is_flagged(tmp_path: Path) -> None:
    folder = write_embedder(tmp_path / "artifact")
    _one_range_for_all(folder)
    with pytest.warns(BatchDependenceWarning, match="DynamicQuantizeLinear.*depends on what else"):
        pipe = onnxpress.pipeline(model=folder)
    assert np.isfinite(pipe("a text")).all()
    pipe.close()


def test_an_ordinary_graph_is_not(tmp_path: Path) -> None:
    onnxpress.pipeline(model=write_embedder(tmp_path / "artifact")).close()
