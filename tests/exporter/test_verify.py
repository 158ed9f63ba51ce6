"""The gate on functions that are right, wrong by a known amount, or wrong only in company."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from onnxpress.format.manifest import TensorInfo
from onnxpress.pipelines.collators import PadTokens, token_sample
from onnxpress.samples import Sample
from onnxpress_exporter.errors import VerificationFailed
from onnxpress_exporter.gate.outputs import Arrays, Collated, Named, ReferenceAnswers, reference_answers, verify
from onnxpress_exporter.gate.probe import SHORT_TOKENS

BY_TOKEN = (TensorInfo("scores", "float32", ("batch", "sequence", 1)),)
SAMPLES = [
    Named(f"sample {n}", token_sample([3 * i % 97 + 1 for i in range(n)]), short=n <= SHORT_TOKENS)
    for n in (3, 8, 1, 40, 120)
]


def _collate(rows: Sequence[Sample]) -> Collated:
    batch = PadTokens(("input_ids", "attention_mask"), 0).collate(rows)
    return Collated(batch.arrays, tuple(batch.span(i) for i in range(len(rows))))


def _model(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Each token scored by itself and by the sum of its own row."""
    ids = arrays["input_ids"] * arrays["attention_mask"]
    scores = np.sin(ids) + 0.01 * ids.sum(axis=1, keepdims=True)
    return {"scores": scores[:, :, None].astype(np.float32)}


def _changed(change: Callable[[Arrays, NDArray[Any]], NDArray[Any]]) -> Callable[[Arrays], dict[str, NDArray[Any]]]:
    return lambda arrays: {"scores": change(arrays, _model(arrays)["scores"])}


@pytest.fixture(scope="module")
def reference() -> ReferenceAnswers:
    return reference_answers(_model, _collate, SAMPLES, BY_TOKEN)


def _verify(reference: ReferenceAnswers, run: Callable[[Arrays], Arrays]) -> Any:
    return verify("fp32", reference, run, _collate, SAMPLES, BY_TOKEN)


def test_equal_functions_pass(reference: ReferenceAnswers) -> None:
    quality = _verify(reference, _model)
    assert reference.padding
    assert quality.inputs == len(SAMPLES)
    assert quality.max_error == quality.batch_error == 0
    assert quality.comparisons > 2 * len(SAMPLES)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.floats(1.1, 1e6))
def test_an_error_above_the_limit_is_caught_and_named(times: float) -> None:
    reference = reference_answers(_model, _collate, SAMPLES, BY_TOKEN)
    error = times * 1e-4 * reference.ranges["scores"]

    def change(arrays: Arrays, scores: NDArray[Any]) -> NDArray[Any]:
        scores = scores.copy()
        if scores.shape[1] == 40:
            scores[0, 17, 0] += error
        return scores

    with pytest.raises(VerificationFailed, match=r"'sample 40' alone: scores\[17, 0\]: expected .* obtained"):
        _verify(reference, _changed(change))


@pytest.mark.parametrize(
    ("apart", "error", "passes"),
    [(1e-4, 1.5e-4, True), (1e-4, 2.5e-4, False), (0.0, 1.5e-4, False), (6e-4, 9e-4, False)],
    ids=["within its rounding", "beyond twice of it", "a reference that is sure", "more than rounding"],
)
def test_a_graph_need_not_be_nearer_to_its_reference_than_that_is_to_itself(
    reference: ReferenceAnswers, apart: float, error: float, passes: bool
) -> None:
    def off_by(share: float) -> Callable[[Arrays], dict[str, NDArray[Any]]]:
        def change(arrays: Arrays, scores: NDArray[Any]) -> NDArray[Any]:
            if scores.shape[1] == 40:
                scores[:, 17] += share * reference.ranges["scores"]
            return scores

        return _changed(change)

    unsure = reference_answers(_model, _collate, SAMPLES, BY_TOKEN, off_by(apart))
    if not passes:
        with pytest.raises(VerificationFailed, match="at most 1e-04 is allowed"):
            _verify(unsure, off_by(error))
        return
    quality = _verify(unsure, off_by(error))
    assert 1e-4 < quality.max_error <= quality.max_error_limit == pytest.approx(2 * apart, rel=1e-2)
    assert quality.reference.endswith("read in its two ways, differ by 1.0e-04 of their range")


def test_a_sample_near_the_models_limit_is_asked_alone() -> None:
    far = Named("far", token_sample([1] * 700), alone=True)
    shapes: list[tuple[int, ...]] = []

    def run(arrays: Arrays) -> dict[str, NDArray[Any]]:
        shapes.append(arrays["input_ids"].shape)
        scores = _model(arrays)["scores"]
        return {"scores": scores + np.float32(100.0 * (scores.shape[1] > 600))}

    samples = [*SAMPLES, far]
    reference = reference_answers(_model, _collate, samples, BY_TOKEN)
    verify("fp32", reference, _model, _collate, samples, BY_TOKEN)
    with pytest.raises(VerificationFailed, match="'far' alone"):
        verify("fp32", reference, run, _collate, samples, BY_TOKEN)
    assert [shape for shape in shapes if shape[1] > 600] == [(1, 700)]


def test_an_error_below_the_limit_is_recorded(reference: ReferenceAnswers) -> None:
    shift = 0.5e-4 * reference.ranges["scores"]
    quality = _verify(reference, _changed(lambda arrays, scores: scores + np.float32(shift)))
    assert quality.max_error == pytest.approx(0.5e-4, rel=0.05)


BROKEN: dict[str, tuple[Callable[[Arrays, NDArray[Any]], NDArray[Any]], str]] = {
    "not a number": (lambda a, s: s * np.float32(np.nan), "alone"),
    "infinite": (lambda a, s: s + np.float32(np.inf), "alone"),
    "a token short": (lambda a, s: s[:, :-1], "expected shape"),
    "constant": (lambda a, s: np.zeros_like(s), "alone"),
    "depends on its neighbours": (
        lambda a, s: s + np.float32(0.001) * (a["input_ids"].max() if len(s) > 1 else 0), "in an unpadded batch"),
    "depends on padding": (
        lambda a, s: s + np.float32(0.01) * (1 - a["attention_mask"]).sum(axis=1)[:, None, None], "in a padded batch"),
    "right in small batches alone": (
        lambda a, s: s + np.float32(0.01 * (s.shape[1] > 100 and len(s) > 1)), "longest and the shortest"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_graphs_fail(name: str, reference: ReferenceAnswers) -> None:
    change, where = BROKEN[name]
    with pytest.raises(VerificationFailed, match=where):
        _verify(reference, _changed(change))


def test_an_architecture_that_padding_changes_is_recognized() -> None:
    """Like Fourier mixing: PyTorch's own answer depends on the padded length, so rows are never padded."""

    def mixing(arrays: Arrays) -> dict[str, NDArray[Any]]:
        return {"scores": _model(arrays)["scores"] * np.float32(arrays["input_ids"].shape[1])}

    reference = reference_answers(mixing, _collate, SAMPLES, BY_TOKEN)
    assert not reference.padding
    assert _verify(reference, mixing).max_error == 0


def test_a_constant_output_is_compared_with_its_size() -> None:
    def constant(arrays: Arrays) -> dict[str, NDArray[Any]]:
        return {"scores": np.full((*arrays["input_ids"].shape, 1), 4, np.float32)}

    reference = reference_answers(constant, _collate, SAMPLES, BY_TOKEN)
    assert reference.ranges["scores"] == pytest.approx(0.004)
    assert _verify(reference, constant).max_error == 0
