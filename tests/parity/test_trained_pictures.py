"""Trained classifiers of pictures: exports answer as transformers does, and quantized ones read as many digits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onnxpress import pipeline
from onnxpress_exporter import export
from onnxpress_exporter.errors import VariantRefused
from tests.fixtures.store import Store
from tests.parity.alike import assert_alike


@pytest.mark.parametrize(
    ("name", "precisions"), [("tiny-digits-vit", ("fp32", "q8")), ("tiny-digits-convnet", ("fp32",))]
)
def test_digits(
    name: str,
    precisions: tuple[str, ...],
    trained: Callable[[str], Path],
    store: Store,
    reference: Callable[..., Any],
) -> None:
    checkpoint = trained(name)
    with (checkpoint / "examples.jsonl").open(encoding="utf-8") as lines:
        examples = [json.loads(line) for line in lines]
    pictures = [row["image"] for row in examples]
    artifact = store.artifact(checkpoint, precision=precisions)
    for precision in precisions:
        with pipeline(model=artifact, precision=precision) as pipe:
            answers = pipe(pictures)
            assert pipe(pictures[0]) == answers[0]
            if precision == precisions[0]:
                assert_alike(answers[:40], reference(checkpoint, pipe.task)(pictures[:40]))
        right = [best["label"] == row["label"] for (best, *_), row in zip(answers, examples, strict=True)]
        assert sum(right) / len(right) >= 0.95


def test_a_precision_that_changes_no_product_is_refused(trained: Callable[[str], Path], tmp_path: Path) -> None:
    """Convolutions are stored as they are: nothing would be gained."""
    with pytest.raises(VariantRefused, match=r"neither smaller .* nor faster than fp32"):
        export(trained("tiny-digits-convnet"), tmp_path / "out", precision=("q8",))
