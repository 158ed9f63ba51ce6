"""Trained models of pictures: exports answer as transformers does, and quantized ones are right as often."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from onnxpress import pipeline
from onnxpress.cli.main import program
from onnxpress.image.opening import open_picture
from onnxpress_exporter import export
from onnxpress_exporter.errors import VariantRefused
from tests.fixtures.store import Store
from tests.parity.alike import assert_alike


@pytest.mark.parametrize(
    ("name", "precisions"), [("tiny-digits-vit", ("fp32", "q8")), ("tiny-digits-convnet", ("fp32", "int8"))]
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


def test_a_folder_on_the_command_line_is_answered_and_drawn(
    trained: Callable[[str], Path], store: Store, tmp_path: Path
) -> None:
    checkpoint = trained("tiny-digits-vit")
    artifact, photos = store.artifact(checkpoint, precision=("fp32", "q8")).folder, tmp_path / "photos"
    photos.mkdir()
    with (checkpoint / "examples.jsonl").open(encoding="utf-8") as lines:
        examples = [json.loads(line) for line, _ in zip(lines, "ab", strict=False)]
    for place, row in enumerate(examples):
        open_picture(row["image"]).save(photos / f"{place}.png")

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(program, ["run", str(artifact), str(photos), *arguments])

    drawn = call("--draw", str(tmp_path / "drawn"))
    assert drawn.exit_code == 0, drawn.exception
    shown = drawn.output.splitlines()
    assert [shown[0], shown[7]] == [str(photos / "0.png"), str(photos / "1.png")]
    assert [shown[1].split()[1], shown[8].split()[1]] == [row["label"] for row in examples]
    assert [open_picture(tmp_path / "drawn" / f"{place}.png").size[0] for place in (0, 1)] == [384, 384]
    assert [json.loads(line)[0]["label"] for line in call("--json").stdout.splitlines()] == [
        row["label"] for row in examples
    ]
    refused = call("--draw", str(tmp_path / "out.png"))
    assert refused.exit_code != 0 and "name a folder" in str(refused.exception)


def test_a_precision_that_changes_no_product_is_refused(trained: Callable[[str], Path], tmp_path: Path) -> None:
    """Convolutions are stored as they are: nothing would be gained."""
    with pytest.raises(VariantRefused, match=r"neither smaller .* nor faster than fp32"):
        export(trained("tiny-digits-convnet"), tmp_path / "out", precision=("q8",))


@pytest.mark.nightly
def test_shapes_are_named_and_found_by_text(
    trained: Callable[[str], Path], store: Store, reference: Callable[..., Any]
) -> None:
    checkpoint, precisions = trained("tiny-shapes-clip"), ("fp32", "q8", "int8")
    with (checkpoint / "examples.jsonl").open(encoding="utf-8") as lines:
        examples = [json.loads(line) for line in lines]
    pictures, labels = [row["image"] for row in examples], sorted({row["label"] for row in examples})
    kinds = [labels.index(row["label"]) for row in examples]
    artifact = store.artifact(checkpoint, precision=precisions)
    for precision in precisions:
        with pipeline(model=artifact, precision=precision) as pipe:
            answers = pipe(pictures, labels)
            nearness = pipe.embed_texts(labels) @ pipe.embed_images(pictures).T
            if precision == precisions[0]:
                expected = reference(checkpoint, pipe.task)(pictures[:24], candidate_labels=labels)
                assert_alike(answers[:24], expected)
        right = [best["label"] == row["label"] for (best, *_), row in zip(answers, examples, strict=True)]
        assert np.mean(right) >= 0.95
        assert np.mean(np.array(kinds)[nearness.argmax(1)] == np.arange(len(labels))) >= 0.95
