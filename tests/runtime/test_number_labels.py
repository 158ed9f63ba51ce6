"""Classes that a checkpoint names by numbers are numbers in answers, as transformers gives them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import onnxpress
from onnxpress.format.manifest import parse
from tests.fixtures.artifacts import seal, write_artifact


@pytest.mark.parametrize(
    ("config", "labels", "answer"),
    [
        ({"id2label": {"0": 3, "1": 5}}, ("3", "5"), 5),
        ({"id2label": {"0": 0.5, "1": 1.5}}, ("0.5", "1.5"), 1.5),
        ({"id2label": {"0": "3", "1": "5"}}, ("3", "5"), "5"),
        ({"id2label": {"0": "good", "1": "bad"}}, ("good", "bad"), "bad"),
        ({"id2label": {"0": 3}}, ("3", "LABEL_1"), "LABEL_1"),
        ({}, ("3", "5"), "5"),
        ({"id2label": [3, 5]}, ("3", "5"), "5"),
    ],
)
def test_labels_are_what_the_config_has(
    config: dict[str, Any], labels: tuple[str, ...], answer: Any, tmp_path: Path
) -> None:
    folder = write_artifact(tmp_path / "artifact")
    (folder / "config.json").write_text(json.dumps(config))
    manifest = parse((folder / "onnxpress.json").read_text())
    seal(folder, replace(manifest, postprocessing=replace(manifest.postprocessing, labels=labels)))
    pipe = onnxpress.pipeline(model=folder, threads=1)
    label = pipe("bad")[0]["label"]
    assert (label, type(label)) == (answer, type(answer))
    assert pipe(["good", "bad"], top_k=None)[1][0]["label"] == answer
