"""Tasks that answer pictures with maps, on artifacts made without torch whose answers are known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import onnxpress
from onnxpress import Artifact, InputError
from onnxpress.errors import ArtifactError
from tests.fixtures.artifacts import seal
from tests.fixtures.map_artifacts import write_map_artifact

KINDS = ("classes", "queries", "depth", "larger")


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("maps")
    return {kind: onnxpress.pipeline(model=write_map_artifact(folder / kind, kind)) for kind in KINDS}


def halves(left: str, right: str, height: int = 20, width: int = 30) -> Image.Image:
    picture = Image.new("RGB", (width, height), left)
    picture.paste(right, (width // 2, 0, width, height))
    return picture


def places(segment: Any) -> np.ndarray:
    return np.asarray(segment["mask"]) == 255


def test_classes(pipes: dict[str, Any]) -> None:
    red, blue = pipes["classes"](halves("red", "blue"))
    assert list(red) == ["score", "label", "mask"]
    assert (red["label"], red["score"], blue["label"]) == ("red", None, "blue")
    assert red["mask"].mode == "L" and red["mask"].size == (30, 20)
    assert np.array_equal(places(red), ~places(blue)) and set(np.unique(red["mask"]).tolist()) == {0, 255}
    assert places(red)[:, :14].all() and not places(red)[:, 16:].any()
    assert pipes["classes"](halves("red", "blue"), threshold=2.0, subtask="semantic")[0] == red


def test_queries(pipes: dict[str, Any]) -> None:
    pipe, picture = pipes["queries"], halves("red", "lime")
    panoptic = pipe(picture)
    assert [segment["label"] for segment in panoptic] == ["red", "green"]
    assert panoptic[0]["score"] == round(float(np.exp(6) / (np.exp(6) + 3)), 6)
    assert places(panoptic[0])[:, :15].all() and not places(panoptic[0])[:, 15:].any()
    assert pipe(picture, subtask="panoptic") == panoptic
    assert pipe(picture, threshold=0.9999) == []
    assert [segment["label"] for segment in pipe(picture, subtask="instance")] == ["red", "green"]
    semantic = pipe(picture, subtask="semantic")
    assert [(segment["label"], segment["score"]) for segment in semantic] == [("red", None), ("green", None)]


def test_depth(pipes: dict[str, Any]) -> None:
    answer = pipes["depth"](halves("black", "white"))
    assert answer["predicted_depth"].shape == (20, 30) and answer["predicted_depth"].dtype == np.float32
    assert answer["depth"].mode == "L" and answer["depth"].size == (30, 20)
    depth = np.asarray(answer["depth"])
    assert depth[:, :5].max() < 40 and depth[:, -5:].min() > 215 and (depth.min(), depth.max()) == (0, 255)
    assert pipes["depth"](halves("black", "white"), parameters={"timeout": 1.0})["depth"] == answer["depth"]


def test_a_flat_depth_is_black(pipes: dict[str, Any]) -> None:
    answer = pipes["depth"](Image.new("RGB", (9, 7), "teal"))
    assert not np.asarray(answer["depth"]).any() and np.allclose(answer["predicted_depth"], 256 / 765, atol=1e-3)


def test_a_larger_picture(pipes: dict[str, Any]) -> None:
    picture = halves("red", "white", 3, 4)
    answer = pipes["larger"](picture)
    assert answer.mode == "RGB" and answer == picture.resize((8, 6), Image.Resampling.NEAREST)
    assert pipes["larger"]([picture, picture]) == [answer, answer]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(shapes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=6))
def test_an_answer_does_not_depend_on_its_neighbours(
    pipes: dict[str, Any], kind: str, shapes: list[tuple[int, int]]
) -> None:
    """Exactly: pictures of one size alone share a batch."""
    generator = np.random.default_rng(len(shapes))
    pictures = [generator.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    for together, picture in zip(pipes[kind](pictures), pictures, strict=True):
        alone = pipes[kind](picture)
        if kind == "depth":
            assert together["depth"] == alone["depth"]
            assert np.array_equal(together["predicted_depth"], alone["predicted_depth"])
        else:
            assert together == alone


def test_wrong_calls_say_what_to_pass(pipes: dict[str, Any]) -> None:
    picture = halves("red", "blue")
    with pytest.raises(InputError, match="this Colours answers semantic only"):
        pipes["classes"](picture, subtask="panoptic")
    with pytest.raises(InputError, match="subtask is 'things'; it must be one of panoptic, instance, semantic"):
        pipes["queries"](picture, subtask="things")
    with pytest.raises(InputError, match="mask_threshold is 'much'"):
        pipes["queries"](picture, mask_threshold="much")
    with pytest.raises(InputError, match="may hold a 'timeout' and nothing else"):
        pipes["depth"](picture, parameters={"size": 3})
    with pytest.raises(InputError, match=r"inputs\[1\]: A picture is expected"):
        pipes["larger"]([picture, 3])


def test_an_artifact_that_does_not_say_how_segments_are_made(tmp_path: Any) -> None:
    folder = write_map_artifact(tmp_path / "artifact", "classes")
    plain = Artifact.open(folder).manifest
    from dataclasses import replace

    seal(folder, replace(plain, postprocessing=replace(plain.postprocessing, segmentation=None)))
    with pytest.raises(ArtifactError, match="does not say how segments are made"):
        onnxpress.pipeline(model=folder)(halves("red", "blue"))
