"""feature-extraction against transformers: shapes, truncation, several architectures, any text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from onnxpress import InputError, pipeline
from tests.parity.alike import assert_alike
from tests.parity.texts import SENTENCES, parity, texts

TASK = "feature-extraction"
LONG = "the quick brown fox jumps over the lazy dog " * 40

CALLS: tuple[tuple[str, Any, dict[str, Any]], ...] = (
    ("text", "the quick fox", {}),
    ("empty text", "", {}),
    ("list", ["the quick fox", "dog"], {}),
    ("list of one", ["the quick fox"], {}),
    ("truncation", LONG, {"truncation": True}),
    ("truncation by kwargs", LONG, {"tokenize_kwargs": {"truncation": True, "max_length": 6}}),
    ("no special tokens", "the quick fox", {"tokenize_kwargs": {"add_special_tokens": False}}),
    ("no tensors", "the quick fox", {"return_tensors": False}),
)


@pytest.fixture(scope="module")
def pipes(tiny: Callable[..., Path], ours: Callable[..., Any], reference: Callable[..., Any]) -> tuple[Any, Any]:
    checkpoint = tiny("bert", TASK)
    return ours(checkpoint, TASK), reference(checkpoint, TASK)


@pytest.mark.parametrize(("inputs", "options"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])
def test_call(pipes: tuple[Any, Any], inputs: Any, options: dict[str, Any]) -> None:
    assert_alike(pipes[0](inputs, **options), pipes[1](inputs, **options))


def test_arrays(pipes: tuple[Any, Any]) -> None:
    texts = ["the quick fox", "dog"]
    tensor, theirs = pipes[0](texts[0], return_tensors="pt"), pipes[1](texts[0], return_tensors=True)
    assert (type(tensor), tensor.shape, tensor.dtype) == (type(theirs), theirs.shape, theirs.dtype)
    assert pipes[0](texts[0], return_tensors=True).shape == theirs.shape
    arrays = pipes[0](texts, return_tensors="np")
    for array, nested in zip(arrays, pipes[1](texts), strict=True):
        assert array.dtype == np.float32
        assert array.shape == np.shape(nested)
        np.testing.assert_allclose(array, nested, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ("fox", {"return_tensors": "tf"}, 'pass "np" for arrays'),
        ("fox", {"truncation": True, "tokenize_kwargs": {"truncation": True}}, "given twice"),
        ("fox", {"tokenize_kwargs": {"return_overflowing_tokens": True}}, "results have no such field"),
        (LONG, {}, "the model takes at most"),
        (["fox", None], {}, "takes texts, got NoneType None"),
    ],
)
def test_refused(pipes: tuple[Any, Any], inputs: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipes[0](inputs, **options)


@pytest.mark.parametrize("architecture", ["electra", pytest.param("xlm_roberta", marks=pytest.mark.nightly)])
def test_any_text(
    architecture: str, tiny: Callable[..., Path], ours: Callable[..., Any], reference: Callable[..., Any]
) -> None:
    checkpoint = tiny(architecture, TASK)
    pipe, theirs = ours(checkpoint, TASK), reference(checkpoint, TASK)

    @parity
    @given(text=texts())
    def check(text: str) -> None:
        obtained, expected = pipe(text, truncation=True), theirs(text, truncation=True)
        assert np.shape(obtained) == np.shape(expected)
        np.testing.assert_allclose(obtained, expected, atol=1e-4)

    check()


@pytest.mark.parametrize("batch_size", [None, 1, 4])
def test_alone_is_as_in_a_batch(pipes: tuple[Any, Any], batch_size: int | None) -> None:
    """transformers returns the padding of a batch as well; a result here never depends on its neighbours."""
    together = pipes[0](list(SENTENCES), truncation=True, return_tensors="np", batch_size=batch_size)
    for text, array in zip(SENTENCES, together, strict=True):
        np.testing.assert_allclose(array, pipes[0](text, truncation=True, return_tensors="np"), atol=1e-5)


def test_an_embedding_artifact_serves_it(
    tiny: Callable[..., Path], exported: Callable[..., Any], reference: Callable[..., Any]
) -> None:
    checkpoint = tiny("bert", "sentence-similarity")
    pipe = pipeline(TASK, exported(checkpoint, "sentence-similarity"), threads=1)
    assert_alike(pipe("the quick fox"), reference(checkpoint, TASK)("the quick fox"))
