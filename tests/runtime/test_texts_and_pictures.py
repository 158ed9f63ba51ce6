"""Texts beside pictures, on graphs that are made by hand: what is asked and answered, and what is computed once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxpress import InputError, pipeline
from tests.fixtures.colours import write_colours

RED, GREEN = np.zeros((2, 5, 7, 3), np.uint8)
RED[..., 0] = GREEN[..., 1] = 255
LABELS = ["green", "red", "blue"]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Without places and with them."""
    folder = tmp_path_factory.mktemp("colours")
    tasks = {False: "zero-shot-image-classification", True: "zero-shot-object-detection"}
    return {places: write_colours(folder / str(places), task) for places, task in tasks.items()}


@pytest.fixture
def colours(artifacts: dict[bool, Path]) -> Any:
    return pipeline(model=artifacts[False], threads=1)


@pytest.fixture
def places(artifacts: dict[bool, Path]) -> Any:
    return pipeline(model=artifacts[True], threads=1)


class Counting:
    """A session that counts which graphs run."""

    def __init__(self, session: Any) -> None:
        self._session, self.runs = session, []  # type: ignore[var-annotated]

    def run(self, arrays: Any, graph: str) -> Any:
        self.runs.append((graph, len(next(iter(arrays.values())))))
        return self._session.run(arrays, graph=graph)


def test_the_best_label_comes_first(colours: Any) -> None:
    answer = colours(RED, LABELS, hypothesis_template="{}")
    assert [entry["label"] for entry in answer] == ["red", "green", "blue"]
    assert list(answer[0]) == ["score", "label"] and sum(entry["score"] for entry in answer) == pytest.approx(1)
    assert answer[0]["score"] == pytest.approx(1 / (1 + 2 * np.exp(-10)))
    assert [best["label"] for best, *_ in colours([RED, GREEN], "red, green")] == ["red", "green"]
    assert colours(image=RED, candidate_labels=["blue"])[0]["score"] == 1


def test_texts_are_read_once(colours: Any) -> None:
    counting = Counting(colours.session)
    colours._texts.tower._session = counting
    colours([RED, GREEN], LABELS)
    colours(GREEN, ["red", "yellow", "red"])
    assert counting.runs == [("text_model", 3), ("text_model", 1)]
    assert [entry["label"] for entry in colours(RED, ["red", "yellow", "red"])] == ["red", "red", "yellow"]
    assert len(counting.runs) == 2


def test_vectors_find_pictures(colours: Any) -> None:
    pictures, texts = colours.embed_images([RED, GREEN]), colours.embed_texts(["green", "red"])
    assert (texts @ pictures.T).argmax(axis=1).tolist() == [1, 0]
    assert np.allclose(np.linalg.norm(texts, axis=1), 1)
    texts[:] = 0  # it is the caller's
    assert colours.embed_texts("red").tolist() == [[1, 0, 0]]


def test_places_have_boxes(places: Any) -> None:
    picture = np.concatenate([np.concatenate([RED, GREEN], 1), np.concatenate([GREEN, 0 * RED], 1)])
    found = places(picture, ["green", "red"], threshold=0.5)
    assert [entry["label"] for entry in found] == ["green", "green", "red"]
    assert found[2] == {
        "score": pytest.approx(1 / (1 + np.exp(-4))),
        "label": "red",
        "box": {"xmin": 0, "ymin": 0, "xmax": 7, "ymax": 5},
    }
    assert places(picture, text_queries=["red"], threshold=0.5, top_k=1) == [found[2]]
    asked = [{"image": picture, "candidate_labels": ["red"]}, {"image": picture, "candidate_labels": "blue"}]
    assert places(asked, threshold=0.5) == [[found[2]], []]
    assert list(places(iter(asked), threshold=0.5)) == [[found[2]], []]
    assert places([picture, picture], [["red"], ["blue"]], threshold=0.5) == [[found[2]], []]
    assert places([picture, picture], "red", threshold=0.5) == [[found[2]]] * 2
    assert [entry["label"] for entry in places(picture, "red,green", threshold=0.5)] == ["red", "green", "green"]


def test_the_documents_search(
    artifacts: dict[bool, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "usage.md").read_text()
    (snippet,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "embed_images" in block)
    (tmp_path / "clip-artifact").symlink_to(artifacts[False])
    (tmp_path / "photos").mkdir()
    for name, picture in {"leaf.png": GREEN, "bus.png": RED}.items():
        Image.fromarray(picture).save(tmp_path / "photos" / name)
    monkeypatch.chdir(tmp_path)
    exec(snippet, {})
    assert capsys.readouterr().out == "['bus.png', 'leaf.png']\n"


def test_wrong_calls_say_what_to_pass(colours: Any, places: Any) -> None:
    for pipe in (colours, places):
        with pytest.raises(InputError, match="candidate_labels is empty"):
            pipe(RED)
        with pytest.raises(InputError, match=r"has [0-9]+ tokens, and the model takes 16 at most"):
            pipe(RED, ["red", "red " * 20])
    with pytest.raises(InputError, match="3 lists, and there are 2 pictures"):
        places([RED, GREEN], [["red"]] * 3)
    with pytest.raises(InputError, match="threshold is nan"):
        places(RED, ["red"], threshold=float("nan"))
    with pytest.raises(InputError, match="must be texts"):
        places(RED, [1])
    with pytest.raises(InputError, match="'imag'"):
        places([{"imag": RED, "candidate_labels": ["red"]}])
