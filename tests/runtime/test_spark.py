"""`onnxpress.spark.predict` under Spark, two workers in this machine. Spark is not among what the tests install: it
needs Java. In an environment that has `onnxpress[cpu]`, `pyspark[sql]`, onnx and pytest:

    PYTHONPATH=runtime:. python -m pytest --noconftest tests/runtime/test_spark.py
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnxpress
from onnxpress.spark import predict

from ..fixtures.artifacts import write_artifact
from ..fixtures.embedder import write_embedder

sql = pytest.importorskip("pyspark.sql")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("default")

TEXTS = ["good", "bad", "very good film"]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "16")
        .getOrCreate()
    )
    yield session
    session.stop()


def test_vectors_and_answers_are_the_pipelines(spark: Any, tmp_path: Path) -> None:
    embedder, classifier = write_embedder(tmp_path / "embedder"), write_artifact(tmp_path / "classifier")
    texts = [TEXTS[number % 3] for number in range(100)]
    frame = spark.createDataFrame(list(enumerate(texts)), ["id", "review"]).repartition(4)
    vector = predict(str(embedder), "array<float>")
    label = predict(str(classifier), options={"top_k": 1})
    rows = frame.withColumn("vector", vector("review")).withColumn("label", label("review")).collect()
    assert sorted(row["id"] for row in rows) == list(range(100))
    with onnxpress.pipeline(model=embedder) as embeds, onnxpress.pipeline(model=classifier) as classifies:
        for row in rows:
            assert row["review"] == texts[row["id"]]
            np.testing.assert_allclose(row["vector"], embeds(row["review"]), atol=1e-6)
            (answer,) = classifies(row["review"], top_k=1)
            (obtained,) = json.loads(row["label"])
            assert obtained["label"] == answer["label"]
            assert obtained["score"] == pytest.approx(answer["score"])
