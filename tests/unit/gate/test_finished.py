"""What a finished artifact is asked once, through its own pipeline."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onnxpress_exporter.gate import finished
from tests.fixtures.manifests import manifest


@pytest.mark.parametrize(
    ("items", "word"), [(["", " "], "a"), (["", "two words"], "two"), (["three is longer", "a b"], "a"), ([], "a")]
)
def test_a_model_that_writes_goes_on_from_a_word(items: list[str], word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little it takes, so that judged texts are empty: whether that is too little is what its pipeline says."""
    monkeypatch.setattr(finished, "judged_items", lambda make, manifest, sounds: items)
    assert finished._short(replace(manifest(), task="text-generation")) == word
