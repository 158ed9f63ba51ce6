"""Pictures on the command line: folders, what is told of results, and where drawn ones are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxpress.cli.media import PICTURES, SOUNDS, files_in, with_folders
from onnxpress.cli.pictures import Drawings, describe
from onnxpress.cli.rows import InputRow, of_arguments
from onnxpress.errors import InputError

LABELS = [{"label": "cat", "score": 0.75}, {"label": "dog", "score": 0.25}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    (place / "inner").mkdir(parents=True)
    for name in ("b.png", "a.JPG", "c.webp", "inner/d.png"):
        Image.new("RGB", (8, 8), "red").save(place / name)
    (place / "notes.txt").write_text("not a picture")
    (place / "x.png").mkdir()
    return place


def test_a_folder_is_its_pictures_by_name(folder: Path) -> None:
    named = str(folder / "inner" / "d.png")
    rows = list(with_folders(of_arguments([named, str(folder), "a text"]), PICTURES))
    assert [row.body for row in rows] == [
        named,
        *(str(folder / name) for name in ("a.JPG", "b.png", "c.webp")),
        "a text",
    ]
    assert rows[1].where == f"Input 2, {folder / 'a.JPG'}"


def test_a_column_that_names_a_folder_is_left_as_it_is(folder: Path) -> None:
    row = InputRow("Row 1", str(folder), {"file": str(folder)})
    assert list(with_folders([row], PICTURES)) == [row]


def test_a_folder_without_pictures_is_told_with_those_in_it(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match=r"has no pictures.*not gone into: name them \(photos\)"):
        files_in(tmp_path, PICTURES)
    with pytest.raises(InputError, match="has no pictures"):
        files_in(folder / "x.png", PICTURES)


def test_a_folder_is_its_sounds_for_who_hears(tmp_path: Path) -> None:
    for name in ("b.wav", "a.OGG", "c.png"):
        (tmp_path / name).write_bytes(b"")
    assert [row.body for row in with_folders(of_arguments([str(tmp_path)]), SOUNDS)] == [
        str(tmp_path / name) for name in ("a.OGG", "b.wav")
    ]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (LABELS, "0.7500  cat\n0.2500  dog"),
        (
            [
                {"score": 0.5, "label": "cat", "box": {"xmin": 1, "ymin": 2, "xmax": 30, "ymax": 40}},
                {"score": 0.4, "label": "a dog", "box": {"xmin": 0, "ymin": 0, "xmax": 3, "ymax": 4}},
            ],
            "0.5000  cat    x 1 to 30, y 2 to 40\n0.4000  a dog  x 0 to 3, y 0 to 4",
        ),
        (
            [{"score": None, "label": "sky", "mask": Image.fromarray(np.array([[255, 0], [0, 0]], np.uint8))}],
            "sky  25.0% of the picture, x 0 to 0, y 0 to 0",
        ),
        (
            {"predicted_depth": np.array([[[1.0, 3.0]]]), "depth": None},
            "depth 1 to 3, mean 2, of 2x1",
        ),
        ([{"generated_text": "a cat"}], "a cat"),
        ([{"score": 0.5, "answer": "two"}], "0.5000  two"),
        (Image.new("RGB", (4, 3)), "a picture of 4x3 pixels"),
        ([], "nothing"),
        (np.zeros(3), None),
    ],
)
def test_what_is_told(result: Any, told: str | None) -> None:
    assert describe(result) == told


def test_one_picture_into_a_file_and_several_into_a_folder(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "out.png"
    drawings = Drawings(file)
    assert drawings.write(str(folder / "b.png"), LABELS) == [file]
    with pytest.raises(InputError, match="one file, and there are several"):
        drawings.write(str(folder / "b.png"), LABELS)
    into = Drawings(tmp_path / "drawn")
    written = [into.write(str(folder / name), LABELS)[0].name for name in ("b.png", "inner/d.png", "b.png")]
    assert written == ["b.png", "d.png", "b-2.png"]
    with Image.open(tmp_path / "drawn" / "b-2.png") as drawn:
        assert drawn.size[0] == 384


def test_pictures_of_objects_and_of_lists(tmp_path: Path, folder: Path) -> None:
    drawings = Drawings(tmp_path / "drawn")
    asked = {"image": str(folder / "b.png"), "question": "What?"}
    assert [file.name for file in drawings.write(asked, [{"answer": "red", "score": 0.5}])] == ["b.png"]
    assert [file.name for file in drawings.write([asked, asked], [LABELS, LABELS])] == ["b-2.png", "b-3.png"]


def test_what_cannot_be_drawn_or_written_is_told(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="nothing can be drawn"):
        Drawings(tmp_path / "out.png").write(str(folder / "b.png"), np.zeros(4))
    with pytest.raises(InputError, match="a picture is written as"):
        Drawings(folder / "notes.txt").check(1)
    with pytest.raises(InputError, match="cannot be written"):
        Drawings(folder / "notes.txt" / "inner").write(str(folder / "b.png"), LABELS)
