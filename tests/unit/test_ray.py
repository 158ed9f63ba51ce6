"""`onnxpress.ray.Predictor` by itself: forms of batches, columns, errors, pickling."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import onnxpress
from onnxpress.ray import Predictor

from ..fixtures.artifacts import write_artifact

TEXTS = ["good", "bad", "very good film"]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_artifact(tmp_path_factory.mktemp("ray") / "artifact"))


@pytest.fixture(scope="module")
def expected(artifact: str) -> list[Any]:
    with onnxpress.pipeline(model=artifact) as pipe:
        return list(pipe(TEXTS))


def test_columns_stay_and_answers_are_the_pipelines(artifact: str, expected: list[Any]) -> None:
    batch = {"id": np.arange(3), "text": np.array(TEXTS)}
    answered = Predictor(artifact, "text", threads=1)(batch)
    assert list(answered) == ["id", "text", "result"] and list(batch) == ["id", "text"]
    assert answered["id"] is batch["id"] and list(answered["result"]) == expected


def test_tables_and_frames(artifact: str, expected: list[Any]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    predictor = Predictor(artifact, "text", result="label", threads=1)
    table = predictor(pyarrow.table({"text": TEXTS, "id": [1, 2, 3]}))
    assert table.column_names == ["text", "id", "label"] and table["label"].to_pylist() == expected
    pandas = pytest.importorskip("pandas")
    frame = predictor(pandas.DataFrame({"text": TEXTS}))
    assert list(frame["label"]) == expected


def test_lists_of_one_length_are_no_second_dimension(artifact: str) -> None:
    answered = Predictor(artifact, "text", options={"top_k": 2}, threads=1)({"text": np.array(TEXTS)})
    assert answered["result"].shape == (3,) and len(answered["result"][0]) == 2


def test_vectors_are_float32_whatever_the_batch() -> None:
    from onnxpress.ray import _array, _arrow

    pyarrow = pytest.importorskip("pyarrow")
    vectors = [np.ones(4, np.float32), np.zeros(4, np.float32)]
    assert _array(vectors).shape == (2, 4) and _array(vectors).dtype == np.float32
    kinds = {_arrow(pyarrow, values).type for values in (vectors, [None, vectors[0]], vectors[:1])}
    assert kinds == {pyarrow.list_(pyarrow.float32())}


def test_only_arguments_are_pickled(artifact: str, expected: list[Any]) -> None:
    predictor = Predictor(artifact, "text", threads=1, options={"top_k": 1})
    predictor({"text": np.array(TEXTS)})
    data = pickle.dumps(predictor)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert again._pipe is None and len(again({"text": np.array(TEXTS)})["result"]) == 3


def test_a_bad_row_has_its_reason_or_ends_the_job(artifact: str) -> None:
    batch = {"text": np.array(["good", None, "bad"], object)}
    answered = Predictor(artifact, "text", error="why", threads=1)(batch)
    assert [value is None for value in answered["result"]] == [False, True, False]
    assert [value is None for value in answered["why"]] == [True, False, True]
    with pytest.raises(onnxpress.InputError, match="Row 1 of a batch"):
        Predictor(artifact, "text", threads=1)(batch)


def test_columns_are_checked(artifact: str) -> None:
    with pytest.raises(onnxpress.InputError, match="no column 'review'"):
        Predictor(artifact, "review")({"text": np.array(TEXTS)})
    with pytest.raises(onnxpress.InputError, match="'text' already"):
        Predictor(artifact, "text", result="text")({"text": np.array(TEXTS)})
