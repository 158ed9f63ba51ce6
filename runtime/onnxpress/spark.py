"""A pipeline as a pandas UDF of Spark: `frame.withColumn("vector", predict("my-embedder", "array<float>")("text"))`.

Nothing of Spark is imported before it is asked for: this is `onnxpress.ray.Predictor` in Spark's form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from onnxpress.errors import MissingDependency
from onnxpress.ray import Predictor

_COLUMN, _ANSWER = "text", "answer"


def predict(model: str, returns: str = "string", *, threads: int = 1, **arguments: Any) -> Any:
    """A function of one column of texts, for `select` and `withColumn`.

    The model is opened once in each Python worker of Spark, and answers batch after batch (`spark.sql.execution.arrow.
    maxRecordsPerBatch` rows).

    Args:
        model: a folder that every node has, or an id on the Hub.
        returns: the type of the column in Spark's words: "array<float>" for vectors, or "string", which has the answer
            as JSON, for `from_json`.
        threads: of each worker; Spark runs one for each core that it was given (`spark.task.cpus`).
        arguments: further ones of `Predictor`: task, options, precision, revision.

    Raises:
        MissingDependency: Spark, or what its UDFs need, is not installed.
    """
    try:
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]
        from pyspark.sql.functions import pandas_udf  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingDependency(f"{error}. pip install 'pyspark[sql]'") from error
    predictor = Predictor(model, _COLUMN, result=_ANSWER, threads=threads, **arguments)
    as_json = returns.strip().lower() == "string"

    def answer(batches: Iterator[Any]) -> Iterator[Any]:
        for texts in batches:
            answers = predictor(pd.DataFrame({_COLUMN: texts}))[_ANSWER]
            yield answers.map(json.dumps) if as_json else answers

    # Spark reads the kind of a function off its annotations, as objects.
    answer.__annotations__ = {"batches": Iterator[pd.Series], "return": Iterator[pd.Series]}
    return pandas_udf(answer, returns)
