"""The model card: what it carries over of another, and what a push adds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from onnxpress.format.front_matter import Card, read_card
from onnxpress.pipelines.card import card, published_card, write_card

from ..fixtures.manifests import manifest

THEIRS = "---\nlicense: apache-2.0\nlanguage: [en, de]\nbase_model: org/parent\ntags:\n- old\n---\n# Theirs\n"


def fields(text: str) -> dict[str, object]:
    value = yaml.safe_load(text.removeprefix("---\n").partition("\n---\n")[0])
    assert isinstance(value, dict)
    return value


def test_licence_languages_and_origin_are_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(THEIRS)
    write_card(manifest(), path)
    text = path.read_text()
    written = fields(text)
    assert (written["license"], written["language"], written["base_model"]) == (
        "apache-2.0",
        ["en", "de"],
        "org/parent",
    )
    assert (written["library_name"], written["pipeline_tag"]) == ("onnxpress", manifest().task)
    assert "# Theirs" not in text and "old" not in written["tags"]
    write_card(manifest(), path)  # as `quantize` does
    assert path.read_text() == text


def test_what_was_made_of_a_model_of_the_hub_names_that_one() -> None:
    of_hub = replace(manifest().provenance, source="org/model", commit="c" * 40)
    assert fields(card(replace(manifest(), provenance=of_hub), read_card(THEIRS)))["base_model"] == "org/model"
    assert "base_model" not in fields(card(manifest(), Card({}, "")))


@pytest.mark.parametrize("text", [None, "", "# Mine\n", THEIRS, "---\ntitle: no end\n"])
def test_a_published_card_is_whole_and_stays_the_same(text: str | None) -> None:
    published = published_card(manifest(), text, "me/model")
    assert {"library_name", "pipeline_tag", "tags"} <= fields(published).keys()
    assert {"onnx", "onnxpress"} <= set(fields(published)["tags"])  # type: ignore[call-overload]
    assert "THIS_FOLDER_OR_HUB_ID" not in published
    assert published_card(manifest(), published, "me/model") == published
    if text == THEIRS:
        assert "# Theirs" in published and "old" in published
