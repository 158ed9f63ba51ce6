"""Which name a mistyped one was meant to be."""

from __future__ import annotations

import pytest

from onnxpress.engine.providers import PROVIDERS
from onnxpress.format.precisions import PRECISIONS
from onnxpress.pipelines.table import TASKS
from onnxpress.suggestions import did_you_mean, nearest


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("int9", "int8"),
        ("FP32", "fp32"),
        ("fp23", "fp32"),
        ("text-clasification", "text-classification"),
        ("Token Classification", "token-classification"),
        ("fill_mask", "fill-mask"),
        ("cdua", "cuda"),
        ("dreaming", None),
        ("", None),
    ],
)
def test_what_is_near(typed: str, meant: str | None) -> None:
    assert nearest(typed, [*TASKS, *PRECISIONS, *PROVIDERS]) == meant


def test_a_sentence_only_where_a_name_is_near() -> None:
    assert did_you_mean("topk", ["top_k", "padding"]) == " Did you mean 'top_k'?"
    assert did_you_mean("xyz", ["top_k"]) == ""


def test_the_beginning_of_one_name_is_that_name() -> None:
    tasks = ["sentiment-analysis", "sentence-similarity", "text-ranking", "text-generation"]
    assert nearest("sentiment", tasks) == "sentiment-analysis"
    assert nearest("sent", tasks) is None and nearest("se", ["sentiment-analysis"]) is None
