"""Artifacts of every format version give the answers that they gave when they were written.

`VERSION-KIND/artifact` was written by the exporter of that format version from a tiny checkpoint with random weights;
`answers.json` holds what the runtime of the same version answered. They are not to be written again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnxpress
from onnxpress.format.manifest import FILE_NAME, FORMAT_VERSION, dump, parse

GOLDEN = Path(__file__).parent
NAMES = sorted(path.parent.name for path in GOLDEN.glob("*/answers.json"))


def test_every_format_version_is_here() -> None:
    written = {json.loads((GOLDEN / name / "artifact" / FILE_NAME).read_text())["format_version"] for name in NAMES}
    assert written == set(range(1, FORMAT_VERSION + 1))


def _numbers(answer: Any) -> Any:
    """An answer with its floats, to compare them within what processors differ by."""
    if isinstance(answer, np.ndarray):
        return pytest.approx(answer.tolist(), abs=2e-5)
    if isinstance(answer, float):
        return pytest.approx(answer, abs=2e-5)
    if isinstance(answer, dict):
        return {name: _numbers(value) for name, value in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [_numbers(value) for value in answer]
    return answer


@pytest.mark.parametrize("name", NAMES)
def test_the_answers_are_what_they_were(name: str) -> None:
    expected = json.loads((GOLDEN / name / "answers.json").read_text(encoding="utf-8"))
    call = {"top_k": None} if expected["task"] == "text-classification" else expected.get("call", {})
    for precision, answers in expected["answers"].items():
        pipe = onnxpress.pipeline(expected["task"], str(GOLDEN / name / "artifact"), precision=precision)
        assert [_numbers(pipe(text, **call)) for text in expected["texts"]] == answers


@pytest.mark.parametrize("name", NAMES)
def test_what_was_read_can_be_written_in_the_format_of_today(name: str, tmp_path: Path) -> None:
    """As a manifest of today's version, which says the same of the same model."""
    folder = shutil.copytree(GOLDEN / name / "artifact", tmp_path / "artifact")
    manifest = onnxpress.Artifact.open(folder).manifest
    assert manifest.format_version == FORMAT_VERSION
    (folder / FILE_NAME).write_text(dump(manifest), encoding="utf-8")
    assert parse((folder / FILE_NAME).read_bytes()) == manifest
    assert onnxpress.Artifact.open(folder).graphs(next(iter(manifest.variants))).keys() == manifest.graphs.keys()
