"""Every layout keeps the rules of the seam, and the table is the way from a folder to what it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxpress.errors import InvalidManifest, MissingFile
from onnxpress.layouts.files import Files
from onnxpress.layouts.layout import Asked, Layout
from onnxpress.layouts.table import LAYOUTS, read_files

from ...fixtures.artifacts import write_artifact


def test_names_differ() -> None:
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_folder_without_marks_is_another_layout(layout: Layout, tmp_path: Path) -> None:
    assert layout.marks
    assert layout.read(Files(tmp_path), Asked()) is None


def test_an_artifact_of_ours_is_verified(tmp_path: Path) -> None:
    model = read_files(Files(write_artifact(tmp_path / "artifact")), Asked())
    assert (model.trust, model.manifest.task) == ("verified", "text-classification")


def test_a_damaged_folder_is_not_taken_for_another_layout(tmp_path: Path) -> None:
    (tmp_path / "onnxpress.json").write_bytes(b"\xff{}")
    with pytest.raises(InvalidManifest, match="not UTF-8"):
        read_files(Files(tmp_path), Asked())


def test_a_folder_that_no_layout_knows(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="Give the folder that `onnxpress export` wrote"):
        read_files(Files(tmp_path), Asked())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingFile, match="It looks like a checkpoint"):
        read_files(Files(tmp_path), Asked())
