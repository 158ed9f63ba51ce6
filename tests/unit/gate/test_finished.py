"""What a finished artifact is asked once, through its own pipeline."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onnxpress.format.processors import Processors
from onnxpress_exporter.gate.finished import _short
from tests.fixtures.manifests import manifest


@pytest.mark.parametrize("limit", [None, 96, 2, 1])
def test_a_model_that_writes_goes_on_from_a_word(limit: int | None) -> None:
    """However little it takes: whether that is too little is what its pipeline says."""
    base = manifest()
    assert base.tokenizer is not None
    processors = Processors(replace(base.tokenizer, max_length=limit))
    word = _short(replace(base, task="text-generation", processors=processors))
    assert word and word.split() == [word]
