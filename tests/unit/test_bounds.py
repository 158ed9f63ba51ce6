"""Ids that a table has no row for are refused by name, whatever the kernel would do."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.format.manifest import GraphInfo, TensorInfo
from onnxpress.format.processors import Processors
from tests.fixtures.manifests import manifest


@pytest.fixture
def session(tmp_path: Path) -> Session:
    table = "<float[3] table = {5, 6, 7}> { y = Gather(table, input_ids) }"
    body = f'<ir_version: 10, opset_import: ["" : 20]> g (int64[n] input_ids) => (float[n] y) {table}'
    onnx.save(onnx.parser.parse_model(body), tmp_path / "model.onnx")
    graphs = {"model": tmp_path / "model.onnx"}
    return Session(graphs, threads=1, roles={"encoder": "model"}, bounds={"model": {"input_ids": 3}})


@pytest.mark.parametrize("graph", [None, "model", "encoder"])
@pytest.mark.parametrize(
    ("ids", "words"), [([0, 3], r"holds 3 at \[1\]"), ([-1], "holds -1 at"), ([10**12], "holds 10{12} at")]
)
def test_ids_without_a_row(session: Session, graph: str | None, ids: list[int], words: str) -> None:
    for opened in (session, pickle.loads(pickle.dumps(session))):
        with pytest.raises(InputError, match=f"input_ids {words}.* 3 rows, of the ids from 0 to 2"):
            opened.run({"input_ids": np.array(ids)}, graph)
        assert opened.run({"input_ids": np.array([2, 0])}, graph)["y"].tolist() == [7, 5]
    assert session.run({"input_ids": np.zeros(0, np.int64)}, graph)["y"].size == 0


def test_a_manifest_tells_its_tables() -> None:
    base = manifest()
    assert base.table_rows() == {}  # of an older artifact
    text = base.tokenizer
    assert text is not None
    known = replace(base, processors=Processors(replace(text, vocabulary=9)))
    assert known.table_rows() == {"model": {"input_ids": 9}}
    ids = TensorInfo("input_ids", "int64", ("batch", "tokens"))
    decoder = GraphInfo((ids,), (TensorInfo("logits", "float32", ("batch", "tokens", 7)),), "decoder")
    head = GraphInfo((TensorInfo("pooled", "float32", ("batch", 4)),), (), "head")
    # A decoder alone reads the tokens of the text; one that follows an encoder may have others.
    assert replace(known, graphs={"model": decoder}).table_rows() == {"model": {"input_ids": 9}}
    both = replace(known, graphs={**known.graphs, "decoder": decoder, "head": head})
    assert both.table_rows() == {"model": {"input_ids": 9}, "decoder": {"input_ids": 7}}
