"""Errors about inputs of our own are errors of the graph."""

from __future__ import annotations

import pytest

from onnxpress.errors import EngineError, InputError, OnnxpressError, OutOfMemory
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.gate.sizes import runs_at_any_size


@pytest.mark.parametrize("error", [InputError("16 by 17"), EngineError("16 by 17")])
def test_a_graph_that_fails_at_another_size(error: OnnxpressError) -> None:
    with (
        pytest.raises(UnsupportedCheckpoint, match=r"SomeModel cannot be exported: .*16 by 17 No artifact"),
        runs_at_any_size("SomeModel"),
    ):
        raise error


@pytest.mark.parametrize("error", [OutOfMemory("too little"), ValueError("ours"), UnsupportedCheckpoint("another")])
def test_what_the_graph_is_not_to_blame_for(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)), runs_at_any_size("SomeModel"):
        raise error
